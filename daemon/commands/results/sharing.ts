import type { VmResult } from './vm.ts'

/** Says in a word or two whether a VM has public ports. Pure. */
export function sharing({ public: open }: Pick<VmResult, 'public'>): string {
  return open.length === 0 ? 'private' : open.length === 1 ? 'public' : `public: ${open.join(', ')}`
}
