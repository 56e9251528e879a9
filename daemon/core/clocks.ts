import { uptime } from 'node:os'
import { croft } from '../activity/index.ts'
import { minutes } from '../lib/text/units.ts'
import type { Vm } from '../store/index.ts'
import { type Box, stateOf, vmOfDomain, vmsOf } from './box.ts'

const lookMs = 500
/** Smaller corrections are ignored. */
const stepMs = 1_000

/**
 * Sets the clocks of guests: of a guest that goes on after it stood still (it dozed, a full disk, by hand, a checkpoint,
 * a sleep that was interrupted), because so did its clock, and of all awake guests when the clock of the box was set. A
 * guest that was loaded from memory gets the time with everything else, before it is ready.
 * @param onStep called when the clock of the box was set, with how much later it is now @returns stops watching
 */
export function keepClocks(box: Box, onStep: (byMs: number) => Promise<void>): () => void {
  const tell = (vm: Vm) =>
    box.guests.tellTime(vm).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be told the time'))
  const unwatch = box.live.watch((uuid, now, before) => {
    if (before?.domain !== 'paused' || now?.domain !== 'running' || !now.ready || !before.ready) return
    const vm = vmOfDomain(box.store.state, uuid)
    if (vm) void tell(vm)
  })
  const unlook = watchClock((byMs) => {
    box.log.warn({ byMs }, 'the clock of the box was set')
    const what = `the clock of the box was set ${minutes(Math.abs(byMs) / 60_000)} ${byMs > 0 ? 'ahead' : 'back'}`
    void box.activity.note({ ...croft, what })
    onStep(byMs).catch((err) => box.log.error({ err }, 'could not react to the clock being set'))
    for (const vm of vmsOf(box.store.state)) if (stateOf(box, vm) === 'awake') void tell(vm)
  })
  return () => {
    unwatch()
    unlook()
  }
}

/**
 * Reports when the time of day is set (by NTP, by hand), and by how much. It compares the time of day with a clock that
 * nobody sets and that keeps running while the box is suspended. @returns stops watching
 */
export function watchClock(
  onStep: (byMs: number) => void,
  clock: () => number = Date.now,
  steady: () => number = () => uptime() * 1000,
): () => void {
  let offset = clock() - steady()
  const timer = setInterval(() => {
    const before = offset
    offset = clock() - steady()
    if (Math.abs(offset - before) >= stepMs) onStep(offset - before)
  }, lookMs).unref()
  return () => clearInterval(timer)
}
