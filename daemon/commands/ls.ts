import { z } from 'zod'
import { vmsOf } from '../box/box.ts'
import { vmStates } from '../box/state.ts'
import { bytes } from '../units.ts'
import { tagArg } from './args.ts'
import { command } from './command.ts'
import { maySee } from './scope.ts'
import { style, table } from './text.ts'
import { describeVm, hostUsageResult, sharing, usageResult, vmResult } from './vm-result.ts'

export const lsCommand = command({
  name: 'ls',
  summary: 'List the VMs',
  examples: ['croft ls', 'croft ls --state awake --tag shop', 'croft ls -q'],
  args: z.object({
    state: z
      .enum(vmStates)
      .optional()
      .describe(`Only those in this state: ${vmStates.join(', ')}`)
      .meta({ placeholder: 'state' }),
    tag: z.array(tagArg).optional().describe('Only those with this tag; given often, with all of them'),
  }),
  result: z.object({
    vms: z.array(vmResult.extend(usageResult.shape)),
    box: hostUsageResult,
  }),
  touches: 'reads',
  async run({ box, host, scope }, { state, tag }) {
    const [usage, hostUsage] = await Promise.all([host.vmUsage(), host.usage()])
    const nothing = { cpuPercent: null, memoryBytes: null, diskBytes: null }
    const vms = vmsOf(box.store.state)
      .filter((vm) => maySee(scope, vm))
      .map((vm) => ({ ...describeVm(box, vm), ...(usage.get(vm.id) ?? nothing) }))
      .filter((vm) => (!state || vm.state === state) && (tag ?? []).every((each) => vm.tags.includes(each)))
      .sort((a, b) => a.name.localeCompare(b.name))
    return { vms, box: hostUsage }
  },
  print({ vms, box }, view) {
    if (vms.length === 0) return 'No VMs. Make one: croft new\n'
    const dash = '–'
    const rows = table(
      vms,
      [
        { title: 'NAME', value: (vm) => vm.name, dress: () => 'bold' },
        {
          title: 'STATE',
          value: (vm) => vm.state,
          dress: (vm) =>
            vm.state === 'awake' ? 'green' : vm.state === 'crashed' ? 'red' : vm.state === 'stopped' ? 'dim' : 'amber',
        },
        {
          title: 'CPU',
          value: (vm) => (vm.cpuPercent === null ? dash : `${Math.round(vm.cpuPercent)} %`),
          right: true,
        },
        { title: 'MEMORY', value: (vm) => (vm.memoryBytes === null ? dash : bytes(vm.memoryBytes)), right: true },
        { title: 'DISK', value: (vm) => (vm.diskBytes === null ? dash : bytes(vm.diskBytes)), right: true },
        {
          title: vms.some((vm) => vm.web) ? 'WEB' : 'ADDRESS',
          value: (vm) => (vm.web ? `${vm.web}  ${sharing(vm)}` : vm.address),
        },
        { title: 'IMAGE', value: (vm) => vm.image },
        { title: 'COMMENT', value: (vm) => [...vm.tags.map((tag) => `#${tag}`), vm.comment].filter(Boolean).join(' ') },
      ],
      view,
    )
    const counts = vmStates.map((state) => [vms.filter((vm) => vm.state === state).length, state] as const)
    const said = counts.filter(([count]) => count > 0).map(([count, state]) => `${count} ${state}`)
    const used = `${bytes(box.memoryUsedBytes)} of ${bytes(box.memoryBytes)} memory`
    const counted = `${vms.length} VM${vms.length === 1 ? '' : 's'}: ${said.join(', ')}.`
    const whole = `Box: ${used}, ${Math.round(box.cpuPercent)} % CPU, ${bytes(box.diskFreeBytes)} disk free.`
    const between = counted.length + whole.length + 2 <= view.columns ? '  ' : '\n'
    return `${rows}${style(view, 'dim', `${counted}${between}${whole}`)}\n`
  },
  names: ({ vms }) => vms.map((vm) => vm.name),
})
