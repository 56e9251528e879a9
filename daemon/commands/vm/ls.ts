import { z } from 'zod'
import { vmsOf } from '../../core/box.ts'
import { vmStates } from '../../core/vm/state.ts'
import { bytes } from '../../lib/text/units.ts'
import { tagArg } from '../kit/args.ts'
import { command, type View } from '../kit/command.ts'
import { maySee, seesSome } from '../kit/scope.ts'
import { style, table } from '../kit/text.ts'
import { sharing } from '../results/sharing.ts'
import {
  counted,
  countStates,
  hostUsageResult,
  noUsage,
  toVmResult,
  type UsageResult,
  usageResult,
  type VmResult,
  vmColumns,
  vmResult,
} from '../results/vm.ts'
import { wakeTime } from '../results/wakes.ts'

const due = (vm: VmResult, { now }: View): string => [wakeTime(vm, now), vm.wakesFor].filter(Boolean).join('  ')

export const lsCommand = command({
  name: 'ls',
  summary: 'List the VMs',
  examples: ['croft ls', 'croft ls --state awake --tag shop', 'croft ls -q'],
  args: z.object({
    state: z
      .enum(vmStates)
      .optional()
      .describe(`Only VMs in this state: ${vmStates.join(', ')}`)
      .meta({ placeholder: 'state' }),
    tag: z.array(tagArg).optional().describe('Only VMs with this tag; if repeated, only VMs with all of the tags'),
  }),
  result: z.object({
    vms: z.array(vmResult.extend(usageResult.shape)),
    /** Null for a caller who sees only some of the VMs. */
    box: hostUsageResult.nullable(),
  }),
  touches: 'reads',
  listsVms: true,
  async run({ box, host, principal: { scope }, reached }, { state, tag }) {
    const [usage, whole] = await Promise.all([host.vmUsage(), seesSome(scope) ? null : host.usage()])
    const vms = vmsOf(box.store.state)
      .filter((vm) => maySee(scope, vm))
      .map((vm) => ({ ...toVmResult(box, vm, reached), ...(usage.get(vm.id) ?? noUsage) }))
      .filter((vm) => (!state || vm.state === state) && (tag ?? []).every((each) => vm.tags.includes(each)))
      .sort((a, b) => a.name.localeCompare(b.name))
    return { vms, box: whole }
  },
  print({ vms, box }, view) {
    if (vms.length === 0) return `No VMs. Make one: ${view.croft} new\n`
    const rows = table<VmResult & UsageResult>(
      vms,
      [
        ...vmColumns,
        {
          title: vms.some((vm) => vm.web) ? 'WEB' : 'ADDRESS',
          value: (vm) => (vm.web ? `${vm.web}  ${sharing(vm)}` : vm.address),
        },
        { title: 'IMAGE', value: (vm) => vm.image },
        ...(vms.some((vm) => vm.wakesAt) ? [{ title: 'DUE', value: (vm: VmResult) => due(vm, view) }] : []),
        { title: 'COMMENT', value: (vm) => [...vm.tags.map((tag) => `#${tag}`), vm.comment].filter(Boolean).join(' ') },
      ],
      view,
    )
    const many = `${vms.length} VM${vms.length === 1 ? '' : 's'}: ${counted(countStates(vms.map(({ state }) => state))).join(', ')}.`
    if (!box) return `${rows}${style(view, 'dim', many)}\n`
    const used = `${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryTotalBytes)} memory`
    const whole = `Box: ${used}, ${Math.round(box.cpuPercent)} % CPU, ${bytes(box.diskFreeBytes)} disk free.`
    const between = many.length + whole.length + 2 <= view.columns ? '  ' : '\n'
    return `${rows}${style(view, 'dim', `${many}${between}${whole}`)}\n`
  },
  names: ({ vms }) => vms.map((vm) => vm.name),
})
