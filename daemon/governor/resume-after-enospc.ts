import { type Box, stateOf, vmsOf } from '../core/box.ts'
import type { LiveState } from '../core/live.ts'
import { resumeVm } from '../core/vm/own-disk.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import { repeat } from '../lib/async/interval.ts'

const lookMs = 5_000
/** With less free space than this, a resumed VM would be paused again immediately. */
const leastFreeBytes = 64 * 2 ** 20

const isStuck = (live: LiveState | undefined): boolean => live?.domain === 'paused' && live.reason === 'io-error'

/**
 * When the disk of the box is full, QEMU pauses each VM that writes (`error_policy`), so that nothing in the VM fails.
 * Reports such VMs, and resumes them when there is free space again.
 * @param keepReserve refills Croft's own reserve, which comes first; false when there is not enough space for that
 * @returns stops watching
 */
export function resumeAfterEnospc(box: Box, keepReserve: () => Promise<boolean>): () => void {
  const stuck = new Set<string>()
  const look = () => {
    const now = new Map(
      vmsOf(box.store.state).flatMap((vm) => (isStuck(box.live.get(vm.uuid)) ? [[vm.id, vm] as const] : [])),
    )
    for (const id of stuck) if (!now.has(id)) stuck.delete(id)
    for (const [id, vm] of now) {
      if (stuck.has(id)) continue
      stuck.add(id)
      const { name } = vm
      const message = `${name} is paused: it can't write, as the disk of the box is full. It resumes by itself when there is space again.`
      box.events.publish({ type: 'box.warning', vm: id, name, message })
      void box.activity.note(systemEntry(vm, 'it was paused: the disk of the box is full'))
    }
    return [...now.values()]
  }
  const unwatch = box.live.watch((_, now, before) => {
    if (isStuck(now) || isStuck(before)) look()
  })
  const unlook = repeat(lookMs, 'let VMs write again', box.log, async () => {
    const waiting = look()
    const isReserved = await keepReserve()
    if (waiting.length === 0 || !isReserved || (await box.files.freeBytes()) < leastFreeBytes) return
    for (const vm of waiting) {
      await resumeVm(box, vm)
      await box.live.waitFor(vm.uuid, (live) => live?.domain === 'running', lookMs)
      box.log.info({ vm: vm.id, state: stateOf(box, vm) }, 'resumed a VM: the disk has free space again')
      await box.activity.note(systemEntry(vm, 'it was resumed: the disk has free space again'))
    }
  })
  return () => {
    unwatch()
    unlook()
  }
}
