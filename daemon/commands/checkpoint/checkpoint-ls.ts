import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { checkpointsOf } from '../../core/checkpoint/find.ts'
import { ago, bytes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { type CheckpointResult, checkpointResult, describeCheckpoint } from '../results/checkpoint.ts'

export const checkpointLsCommand = command({
  name: 'checkpoint ls',
  summary: "List a VM's checkpoints",
  examples: ['croft checkpoint ls web'],
  args: z.object({ vm: vmArg }),
  positional: ['vm'],
  result: z.object({
    vm: z.string(),
    checkpoints: z.array(checkpointResult),
    /** How many hourly and daily checkpoints the schedule keeps. */
    schedule: z.object({ hourly: z.int(), daily: z.int() }),
  }),
  touches: 'reads',
  async run({ box }, { vm: name }) {
    const vm = findVm(box.store.state, name)
    const all = checkpointsOf(box.store.state, vm)
    const checkpoints = await Promise.all(all.map((each) => describeCheckpoint(box, each)))
    return { vm: vm.name, checkpoints, schedule: vm.schedule }
  },
  print({ vm, checkpoints }, view) {
    if (checkpoints.length === 0) return `${vm} has no checkpoints. Take one: ${view.croft} checkpoint ${vm}\n`
    return table(
      asTree(checkpoints),
      [
        { title: 'CHECKPOINT', value: ({ depth, each }) => `${'  '.repeat(depth)}${each.label}`, dress: () => 'bold' },
        { title: 'DISK', value: ({ each }) => bytes(each.layerBytes), right: true },
        { title: 'MEMORY', value: ({ each }) => (each.memory ? bytes(each.savedMemoryBytes) : '–'), right: true },
        { title: 'TAKEN', value: ({ each }) => ago(each.createdAt, view.now) },
        { title: '', value: ({ each }) => (each.current ? '← now' : '') },
        { title: 'WHY', value: ({ each }) => (each.kind === 'asked' ? '' : each.kind.replace('-', ' a ')) },
      ],
      view,
    )
  },
  names: ({ checkpoints }) => checkpoints.map(({ label }) => label),
})

/** Orders each checkpoint after its parent, indented where the history branches. Pure. */
function asTree(all: readonly CheckpointResult[]): { depth: number; each: CheckpointResult }[] {
  const labels = new Set(all.map(({ label }) => label))
  const rows: { depth: number; each: CheckpointResult }[] = []
  const add = (parent: string | null, depth: number) => {
    const children = all.filter((each) => (each.parent && labels.has(each.parent) ? each.parent : null) === parent)
    for (const each of children) {
      rows.push({ depth, each })
      add(each.label, children.length > 1 ? depth + 1 : depth)
    }
  }
  add(null, 0)
  return rows
}
