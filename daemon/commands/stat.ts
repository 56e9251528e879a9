import { z } from 'zod'
import { findVm } from '../box/box.ts'
import { sleepMinutes, sleepsAt } from '../box/idle.ts'
import { ago, bytes, mebibytes, minutes } from '../units.ts'
import { vmArg } from './args.ts'
import { command } from './command.ts'
import { facts, style } from './text.ts'
import { describeVm, usageResult, vmResult } from './vm-result.ts'

const statResult = vmResult.extend(usageResult.shape).extend({
  /** Since when it is in its state. */
  since: z.string().nullable(),
  /** By what a VM that is awake is used, or was last; and when that was. */
  use: z.object({ why: z.string(), at: z.string(), now: z.boolean() }).nullable(),
  /** Minutes without use until it is put to sleep; 0 for never. */
  sleepAfter: z.number(),
  /** When that will be if it is left alone. */
  sleepsAt: z.string().nullable(),
})

export type StatResult = z.infer<typeof statResult>

export const statCommand = command({
  name: 'stat',
  summary: 'Show what a VM uses now, and why it is awake',
  examples: ['croft stat web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: statResult,
  touches: 'reads',
  async run({ box, host }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const [all] = await Promise.all([host.vmUsage(), host.lookForUse().catch(() => {})])
    const usage = all.get(vm.id)
    const described = describeVm(box, vm)
    const use = described.state === 'awake' ? box.uses.of(vm.id) : undefined
    return {
      ...described,
      cpuPercent: usage?.cpuPercent ?? null,
      memoryBytes: usage?.memoryBytes ?? null,
      diskBytes: usage?.diskBytes ?? null,
      since: box.live.get(vm.uuid)?.since.toISOString() ?? null,
      use: use ? { ...use, at: use.at.toISOString() } : null,
      sleepAfter: sleepMinutes(box, vm),
      sleepsAt: sleepsAt(box, vm)?.toISOString() ?? null,
    }
  },
  print: (vm, view) =>
    `${style(view, 'bold', vm.name)}   ${vm.state}\n${facts(
      [
        ['CPU', vm.cpuPercent === null ? undefined : `${vm.cpuPercent.toFixed(1)} % of one, of ${vm.cpus}`],
        [
          'memory',
          vm.memoryBytes === null ? undefined : `${bytes(vm.memoryBytes)} of ${mebibytes(vm.memoryMiB)} at most`,
        ],
        ['disk', vm.diskBytes === null ? undefined : `${bytes(vm.diskBytes)} of its own, of ${vm.diskGiB} GiB at most`],
        ['came up', vm.state === 'awake' && vm.since !== null ? ago(vm.since, view.now) : undefined],
        ['awake', vm.state === 'awake' ? whyAwake(vm, view.now) : undefined],
      ],
      view,
    )}`,
  names: (vm) => [vm.name],
})

/** Why a VM is awake, in a few words. Pure. */
function whyAwake({ use, sleepsAt }: z.output<typeof statResult>, now: Date): string {
  if (use?.now) return use.why
  if (!use || sleepsAt === null) return 'it never sleeps by itself'
  const left = Math.max(0, (Date.parse(sleepsAt) - now.getTime()) / 60_000)
  return `used ${ago(use.at, now)} (${use.why}); sleeps in ${minutes(left)}`
}
