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
  const left = until(vm.wakesAt, now)
  return `${wakeTime(vm, now)} for ${vm.wakesFor} (${left === 'over' ? 'now' : left})`
}

/** Says why a VM that is not used does not sleep; empty for no reason. */
export const stays = ({ dueSoon }: Pick<UseResult, 'dueSoon'>, now: Date): string =>
  dueSoon ? `does not sleep: ${dueSoon.what} is due ${until(dueSoon.at, now).replace('over', 'now')}` : ''
