import { ago, moment, until } from '../../lib/text/units.ts'
import type { UseResult, VmResult } from './vm.ts'

const dayMs = 86_400_000

/** When a VM is woken: 03:00, or Wed 25 Nov, 14:05 if that is not within a day; empty for never. */
export function wakeTime({ wakesAt }: Pick<VmResult, 'wakesAt'>, now: Date): string {
  if (wakesAt === null) return ''
  return moment(new Date(wakesAt), Date.parse(wakesAt) - now.getTime() < dayMs ? 'clock' : 'lately')
}

/** What a VM does that is woken: one that dozes goes on. */
export const wakesWord = ({ state }: Pick<VmResult, 'state'>): string => (state === 'dozing' ? 'goes on' : 'wakes')

/** Says when a VM is woken, and for what: 03:00 for certbot.timer (in 5 h); empty for never. */
export function wakes(vm: Pick<VmResult, 'wakesAt' | 'wakesFor'>, now: Date): string {
  if (vm.wakesAt === null) return ''
  const left = until(vm.wakesAt, now)
  return `${wakeTime(vm, now)} for ${vm.wakesFor} (${left === 'over' ? 'now' : left})`
}

/** Says why a VM that is not used does not sleep; empty for no reason. */
export function stays({ dueSoon }: Pick<UseResult, 'dueSoon'>, now: Date): string {
  if (!dueSoon) return ''
  const { at, what } = dueSoon
  return `does not sleep: ${what} ${Date.parse(at) > now.getTime() ? `is due ${until(at, now)}` : `was due ${ago(at, now)}`}`
}
