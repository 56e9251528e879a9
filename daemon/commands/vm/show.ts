import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { crashOf } from '../../core/vm/crashes.ts'
import { ago, bytes, mebibytes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command, type View } from '../kit/command.ts'
import { facts, style } from '../kit/text.ts'
import { rates } from '../results/rates.ts'
import { sharing } from '../results/sharing.ts'
import {
  describeUse,
  noUsage,
  sessions,
  toVmResult,
  type UsageResult,
  type UseResult,
  usageResult,
  useResult,
  type VmResult,
  vmResult,
} from '../results/vm.ts'
import { stays, wakes, wakesWord } from '../results/wakes.ts'
import { whyCrashed } from '../results/why-crashed.ts'

const crashResult = z.object({
  at: z.string(),
  /** libvirt's word for it: `panicked` when the guest reported a panic. */
  reason: z.string(),
  /** The last lines of its console. */
  console: z.string(),
})

export const showCommand = command({
  name: 'show',
  summary: 'Show everything about a VM',
  examples: ['croft show web', 'croft show web --json'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: vmResult
    .extend(usageResult.shape)
    .extend({ dueSoon: useResult.shape.dueSoon, crash: crashResult.nullable() }),
  touches: 'reads',
  async run({ box, host, reached }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const [usage, crash] = await Promise.all([host.vmUsage(), crashOf(box, vm)])
    const { dueSoon } = describeUse(box, vm)
    return { ...toVmResult(box, vm, reached), ...(usage.get(vm.id) ?? noUsage), dueSoon, crash: crash ?? null }
  },
  print: showVm,
  names: (vm) => [vm.name],
})

export type ShowResult = VmResult &
  UsageResult &
  Pick<UseResult, 'dueSoon'> & { crash: z.output<typeof crashResult> | null }

function showVm(vm: ShowResult, view: View): string {
  const state = vm.crash ? `crashed ${ago(vm.crash.at, view.now)}` : vm.state
  return `${style(view, 'bold', vm.name)}   ${state}\n${facts(
    [
      ['comment', vm.comment],
      ['tags', vm.tags.join(', ')],
      [wakesWord(vm), wakes(vm, view.now) || (vm.keepsAppointments ? '' : 'not for its timers and cron jobs')],
      ['awake', stays(vm, view.now)],
      ['image', vm.image],
      ['web', vm.web ? `${vm.web}   ${sharing(vm)}` : ''],
      ['ssh', vm.ssh ? `${vm.ssh}${sessions(vm)}` : ''],
      ['address', vm.address],
      ['uses', uses(vm)],
      [
        'limits',
        `${vm.cpus} CPU${vm.cpus === 1 ? '' : 's'}, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk`,
      ],
      ['at most', rates(vm).join(', ')],
      ['restart', vm.restart === 'on-crash' ? 'when it crashes' : ''],
      ['priority', vm.priority === 'normal' ? '' : vm.priority],
      [
        'env',
        Object.entries(vm.env)
          .map(([key, value]) => `${key}=${value}`)
          .join('  '),
      ],
      ['made', ago(vm.createdAt, view.now)],
      ['id', vm.id],
    ],
    view,
  )}${vm.crash ? lastWords(vm, vm.crash, view) : ''}`
}

function lastWords({ id, name }: VmResult, { reason, console }: z.output<typeof crashResult>, view: View): string {
  const lines = console ? ` Its console ends with:\n${console.replace(/^/gm, '  ')}\n` : '\n'
  return `\n${whyCrashed(id, reason)}${lines}More lines: ${view.croft} logs ${name}\nStart it:   ${view.croft} start ${name}\n`
}

/** Formats what the VM uses of the box now; empty while it uses nothing. */
const uses = ({ cpuPercent, memoryBytes, diskBytes }: UsageResult): string =>
  [
    cpuPercent === null ? [] : `${Math.round(cpuPercent)} % of a CPU`,
    memoryBytes === null ? [] : `${bytes(memoryBytes)} memory`,
    diskBytes === null ? [] : `${bytes(diskBytes)} disk`,
  ]
    .flat()
    .join(', ')
