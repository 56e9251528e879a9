import { z } from 'zod'
import { findVm, stateOf, vmsOf } from '../../core/box.ts'
import { standing, waits } from '../../core/interfaces/governor.ts'
import type { Subject } from '../../core/interfaces/metrics.ts'
import { ranges, tiers } from '../../core/interfaces/metrics.ts'
import { sleepMinutes } from '../../core/sleep/idle.ts'
import { vmStates } from '../../core/vm/state.ts'
import { timeOf } from '../../lib/async/steady-clock.ts'
import { ago, bytes, mebibytes, minutes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command, type View } from '../kit/command.ts'
import { facts, style } from '../kit/text.ts'
import { historyLines, historyResult, rangeArg } from '../results/history.ts'
import {
  counted,
  countStates,
  describeUse,
  governedResult,
  hostUsageResult,
  memoryPressureResult,
  pressureResult,
  sharedOf,
  toVmResult,
  usageResult,
  useResult,
  vmResult,
} from '../results/vm.ts'
import { stays, wakes, wakesWord } from '../results/wakes.ts'

const vmStat = vmResult.extend(usageResult.shape).extend(useResult.shape).extend({
  /** When it entered its current state. */
  since: z.string().nullable(),
  /** Minutes without use until Croft puts it to sleep; 0 for never. */
  sleepAfter: z.number(),
  governor: governedResult,
  history: historyResult.optional(),
})

const boxStat = hostUsageResult.extend({
  pressure: pressureResult,
  memory: memoryPressureResult,
  /** Memory saved by KSM; null while it is off. */
  samePagesBytes: z.number().nullable(),
  /** Number of VMs in each state. */
  vms: z.record(z.enum(vmStates), z.int()),
  history: historyResult.optional(),
})

export type StatResult = z.infer<typeof vmStat>
export type BoxStatResult = z.infer<typeof boxStat>

export const statCommand = command({
  name: 'stat',
  summary: 'Show what a VM or the box uses, now and over time',
  details: 'For a VM it also says why it is awake. --range adds the last hour, day, week or month.',
  examples: ['croft stat', 'croft stat web', 'croft stat web --range 24h'],
  args: z.object({ vm: vmArg.optional(), range: rangeArg }),
  positional: ['vm'],
  result: z.union([vmStat, boxStat]),
  touches: 'reads',
  async run({ box, host, reached }, { vm: name, range }) {
    const historyOf = async (subject: Subject) => (range ? { history: await host.history(subject, range) } : {})
    if (name === undefined) {
      const [usage, pressure, same, history] = await Promise.all([
        host.usage(),
        host.pressure(),
        host.ksm.read(),
        historyOf('box'),
      ])
      const samePagesBytes = same?.on ? same.savedBytes : null
      const states = vmsOf(box.store.state).map((vm) => stateOf(box, vm))
      return {
        ...usage,
        pressure,
        memory: box.governor.now(),
        samePagesBytes,
        vms: countStates(states),
        ...history,
      }
    }
    const vm = findVm(box.store.state, name)
    const [all, history] = await Promise.all([
      host.vmUsage(),
      historyOf({ vm: vm.id }),
      host.lookForUse().catch(() => {}),
    ])
    const usage = all.get(vm.id)
    const live = box.live.get(vm.uuid)
    return {
      ...toVmResult(box, vm, reached),
      ...describeUse(box, vm),
      cpuPercent: usage?.cpuPercent ?? null,
      memoryBytes: usage?.memoryBytes ?? null,
      diskBytes: usage?.diskBytes ?? null,
      since: live ? timeOf(live.since).toISOString() : null,
      sleepAfter: sleepMinutes(box, vm),
      governor: box.governor.of(vm.id) ?? null,
      ...history,
    }
  },
  print(result, view) {
    const now = 'pressure' in result ? boxLines(result, view) : vmLines(result, view)
    const { history } = result
    const range = history && ranges.find((each) => tiers[each].stepSeconds === history.stepSeconds)
    return range ? `${now}\n${historyLines(history, range, view)}` : now
  },
  names: (result) => ('name' in result ? [result.name] : []),
})

const vmLines = (vm: StatResult, view: View): string =>
  `${style(view, 'bold', vm.name)}   ${vm.state}\n${facts(
    [
      ['CPU', vm.cpuPercent === null ? undefined : `${vm.cpuPercent.toFixed(1)} % of one, of ${vm.cpus}`],
      [
        'memory',
        vm.memoryBytes === null ? undefined : `${bytes(vm.memoryBytes)} of ${mebibytes(vm.memoryMiB)} at most`,
      ],
      [
        'disk',
        vm.diskBytes === null
          ? undefined
          : `${bytes(vm.diskBytes)} including its checkpoints; its disk can grow to ${vm.diskGiB} GiB`,
      ],
      ['', vm.governor ? `${vm.governor.what}: ${vm.governor.why}` : undefined],
      ['came up', vm.state === 'awake' && vm.since !== null ? ago(vm.since, view.now) : undefined],
      ['awake', vm.state === 'awake' ? whyAwake(vm, view.now) : undefined],
      ['dozing', vm.state === 'dozing' ? whyAwake(vm, view.now) : undefined],
      [wakesWord(vm), wakes(vm, view.now)],
    ],
    view,
  )}`

function boxLines({ pressure, memory, samePagesBytes, vms, ...box }: BoxStatResult, view: View): string {
  const rows = [
    ['CPU', `${box.cpuPercent.toFixed(1)} % of ${box.cpus}`],
    ['memory', `${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryTotalBytes)}`],
    ['', standing(memory).join(', ')],
    ['shared', sharedOf(box)],
    ['', samePagesBytes === null ? undefined : `${bytes(samePagesBytes)} saved by memory deduplication (KSM)`],
    ['swap', box.swapTotalBytes === 0 ? undefined : `${bytes(box.swapUsedBytes)} of ${bytes(box.swapTotalBytes)}`],
    [
      'disk',
      `${bytes(box.diskTotalBytes - box.diskFreeBytes)} of ${bytes(box.diskTotalBytes)}, ${bytes(box.diskFreeBytes)} free`,
    ],
    ['waits for', waits(pressure).join(', ')],
    ['VMs', counted(vms).join(', ') || 'none'],
  ] as const
  return `${style(view, 'bold', 'The box')}\n${facts(rows, view)}`
}

/** Says in a few words why a VM is awake, or for how long it dozes. Pure. */
function whyAwake({ use, sleepsAt, dueSoon }: StatResult, now: Date): string {
  if (use?.now) return use.why
  const due = stays({ dueSoon }, now)
  if (use && due) return `used ${ago(use.at, now)} (${use.why}); ${due}`
  if (!use || sleepsAt === null) return 'it never goes to sleep by itself'
  const left = Math.max(0, (Date.parse(sleepsAt) - now.getTime()) / 60_000)
  return `used ${ago(use.at, now)} (${use.why}); sleeps in ${minutes(left)}`
}
