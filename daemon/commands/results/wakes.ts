import { moment, until } from '../../lib/text/units.ts'
import type { UseResult, VmResult } from './vm.ts'

const dayMs = 86_400_000

/** When a VM is woken: 03:00, or Wed 25 Nov, 14:05 if that is not within a day; empty for never. */
export function wakeTime({ wakesAt }: Pick<VmResult, 'wakesAt'>, now: Date): string {
  if (wakesAt === null) return ''
  return moment(new Date(wakesAt), Date.parse(wakesAt) - now.getTime() < dayMs ? 'clock' : 'lately')
}

/** Says when a VM is woken, and for what: 03:00 for certbot.timer (in 5 h); empty for never. */
export function wakes(vm: Pick<VmResult, 'wakesAt' | 'wakesFor'>, now: Date): string {
  if (vm.wakesAt === null) return ''
  return `${wakeTime(vm, now)} for ${vm.wakesFor} (${untilDue(vm.wakesAt, now)})`
}

/** Says why a VM that is not used does not sleep; empty for no reason. */
export const stays = ({ dueSoon }: Pick<UseResult, 'dueSoon'>, now: Date): string =>
  dueSoon ? `does not sleep: ${dueSoon.what} is due ${untilDue(dueSoon.at, now)}` : ''

function untilDue(at: string, now: Date): string {
  const left = until(at, now)
  return left === 'over' ? 'now' : left
}
