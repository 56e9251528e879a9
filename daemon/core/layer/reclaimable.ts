import { ago } from '../../lib/text/units.ts'
import type { State } from '../../store/index.ts'
import { isOn } from '../checkpoint/schedule.ts'
import type { DiskUse } from './disk-use.ts'

/** Something that can be removed, and the command for that. */
export interface Reclaimable {
  command: string
  /** The least that is freed; merging layers afterwards may free more. */
  bytes: number
  why: string
}

const oldMs = 7 * 86_400_000

/**
 * Lists checkpoints over a week old that no schedule removes, images that no VM is made from, and leftovers; the
 * largest first. Pure.
 * @param image name of the default image, which stays
 */
export function reclaimable(state: State, { parts, leftovers }: DiskUse, image: string, now: Date): Reclaimable[] {
  const vms = Object.values(state.vms)
  const found = parts.flatMap(({ kind, id, name, group, ownBytes: bytes, createdAt }): Reclaimable[] => {
    if (kind === 'checkpoint') {
      const vm = state.vms[group]
      const byClock = state.checkpoints[id]?.kind === 'scheduled' && vm !== undefined && isOn(vm.schedule)
      if (!vm || byClock || Date.parse(createdAt) > now.getTime() - oldMs) return []
      return [{ command: `croft checkpoint rm ${vm.name} ${name}`, bytes, why: `taken ${ago(createdAt, now)}` }]
    }
    if (kind !== 'image' || name === image || !state.images[id]?.current) return []
    if (vms.some((vm) => vm.image === id)) return []
    return [{ command: `croft image rm ${name}`, bytes, why: 'no VM is made from it' }]
  })
  if (leftovers.files > 0) {
    const why = `${leftovers.files} file${leftovers.files === 1 ? '' : 's'} that nothing needs`
    found.push({ command: 'systemctl restart croft', bytes: leftovers.bytes, why })
  }
  return found.filter(({ bytes }) => bytes > 0).sort((a, b) => b.bytes - a.bytes)
}
