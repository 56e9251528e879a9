import type { VmResult } from './vm.ts'

/** Whether anybody may open something of a VM, in a word or two. Pure. */
export function sharing({ public: open }: Pick<VmResult, 'public'>): string {
  return open.length === 0 ? 'private' : open.length === 1 ? 'public' : `public: ${open.join(', ')}`
}
