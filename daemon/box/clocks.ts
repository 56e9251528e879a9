import { type Box, vmOfDomain } from './box.ts'

/**
 * Sets the clock of a guest that has stood still (for a full disk, by hand, for a checkpoint): it went on with the time that
 * it had. One that was loaded is told with all else, before it is ready. @returns ends that
 */
export function keepClocks(box: Box): () => void {
  return box.live.watch((uuid, now, before) => {
    if (before?.domain !== 'paused' || now?.domain !== 'running' || !now.ready || !before.ready) return
    const vm = vmOfDomain(box.store.state, uuid)
    if (vm) box.guests.tellTime(vm).catch((err) => box.log.warn({ vm: vm.id, err }, 'could not be told the time'))
  })
}
