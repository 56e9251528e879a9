import { perSecond } from '../../lib/text/units.ts'
import type { VmResult } from './vm.ts'

/** Returns the rate limits of a VM in words: `150 % of a CPU`, `50 MB/s of disk`. */
export function rates(vm: Pick<VmResult, 'cpuLimitPercent' | 'diskLimitBytesPerS' | 'netLimitBitsPerS'>): string[] {
  const { cpuLimitPercent: cpu, diskLimitBytesPerS: disk, netLimitBitsPerS: net } = vm
  return [
    ...(cpu === null ? [] : [`${cpu} % of a CPU`]),
    ...(disk === null ? [] : [`${perSecond(disk, 'B')} of disk`]),
    ...(net === null ? [] : [`${perSecond(net, 'bit')} of network each way`]),
  ]
}
