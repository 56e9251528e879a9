import { CroftError } from '../../lib/error.ts'
import type { Vm } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { perBox } from '../per-box.ts'

/** VMs that are being put to sleep, or are asked before they doze, by id; aborting interrupts it. */
export const sleepAborts = perBox(() => new Map<string, AbortController>())

/** Whether a VM is being put to sleep or about to doze, so that callers that need it must say so. */
export const isFallingAsleep = (box: Box, id: string): boolean =>
  sleepAborts(box).has(id) || box.store.state.vms[id]?.dozing === true

/**
 * Does `work` that has a VM rest. Its signal is aborted as soon as somebody needs the VM.
 * @throws CroftError `cancelled` when it failed because of that
 */
export async function unlessNeeded<T>(
  box: Box,
  { id, name }: Vm,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const nap = new AbortController()
  sleepAborts(box).set(id, nap)
  box.events.publish({ type: 'vm.changed', vm: id, name })
  try {
    return await work(nap.signal)
  } catch (error) {
    if (!nap.signal.aborted) throw error
    throw new CroftError('cancelled', `${name} is awake: somebody needed it before it was at rest.`)
  } finally {
    if (sleepAborts(box).get(id) === nap) sleepAborts(box).delete(id)
  }
}
