import type { Vm } from '../store/index.ts'

/** The VMs that a key, or whoever comes in by something, is limited to: nulls for all, and one of them always is. */
export interface Limit {
  /** Id of the one VM. */
  vm: string | null
  /** Each VM that has this tag now. */
  tag: string | null
}

/** Whether a VM is among those. Pure. */
export const covers = ({ vm, tag }: Limit, { id, tags }: Pick<Vm, 'id' | 'tags'>): boolean =>
  (vm === null || vm === id) && (tag === null || tags.includes(tag))
