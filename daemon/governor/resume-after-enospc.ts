import { type Box, stateOf, vmsOf } from '../core/box.ts'
import type { LiveState } from '../core/live.ts'
import { makeReady } from '../core/vm/boot.ts'
import { resumeVm } from '../core/vm/own-disk.ts'
import { systemEntry } from '../core/vm/system-entry.ts'
import { repeat } from '../lib/interval.ts'

const lookMs = 5_000
/** With less than that free, who goes on stands still again at once. */
const leastFreeBytes = 64 * 2 ** 20

const isStuck = (live: LiveState | undefined): boolean => live?.domain === 'paused' && live.reason === 'io-error'

/**
 * When the disk of the box is full, a VM that writes stands still (QEMU pauses it, by `error_policy`), and nothing in it
 * fails. Says so, and lets it go on when there is room.
 * @param keepReserve makes Croft's own reserve whole again, which comes first; false when there is no room for that
 * @returns ends that
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
      const message = `${name} stands still: it can't write, as the disk of the box is full. It goes on by itself when there is room.`
      box.events.publish({ type: 'box.warning', vm: id, name, message })
      void box.activity.note(systemEntry(vm, 'it stands still: the disk of the box is full'))
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
      // One that a new daemon found standing still has not been told by it who it is.
      await box.live.waitFor(vm.uuid, (live) => live?.domain === 'running', lookMs)
      if (stateOf(box, vm) === 'starting') await box.locks.run(vm.id, () => makeReady(box, vm, false))
      box.log.info({ vm: vm.id, state: stateOf(box, vm) }, 'goes on: there is room on the disk again')
      await box.activity.note(systemEntry(vm, 'it goes on: there is room on the disk again'))
    }
  })
  return () => {
    unwatch()
    unlook()
  }
}
