import type { Key, State, Vm } from '../../store/index.ts'

/** The VMs that a key or another principal is limited to: both null for all VMs; at least one of the two is null. */
export interface Limit {
  /** Id of the only VM. */
  vm: string | null
  /** All VMs that have this tag now. */
  tag: string | null
}

/** Whether a limit includes a VM. Pure. */
export const covers = ({ vm, tag }: Limit, { id, tags }: Pick<Vm, 'id' | 'tags'>): boolean =>
  (vm === null || vm === id) && (tag === null || tags.includes(tag))

/** The keys that may enter a VM. Pure. */
export const keysOf = (state: State, vm: Pick<Vm, 'id' | 'tags'>): Key[] =>
  Object.values(state.keys).filter((key) => covers(key, vm))

/** Formats a key as a line of authorized_keys. Pure. */
export const authorizedLine = ({ publicKey, name, authority }: Key): string =>
  `${authority ? 'cert-authority ' : ''}${publicKey} ${name}`

/** Whether the set of keys that may enter a VM has changed. Pure. */
export function keysDiffer(before: State, after: State, id: string): boolean {
  const all = (state: State) => {
    const vm = state.vms[id]
    return vm ? keysOf(state, vm).map(authorizedLine) : []
  }
  return id in after.vms && String(all(before)) !== String(all(after))
}
