import { z } from 'zod'
import { findVm } from '../../core/box.ts'
import { takeCheckpoint } from '../../core/checkpoint/take.ts'
import { bytes, seconds } from '../../lib/text/units.ts'
import { labelArg, vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { checkpointResult, describeCheckpoint } from '../results/checkpoint.ts'

export const checkpointCommand = command({
  name: 'checkpoint',
  summary: 'Save a VM as it is now: its disk, and its memory if it runs',
  details:
    'The VM keeps running. Go back with croft restore, or make another VM from the checkpoint with croft restore --as.',
  examples: ['croft checkpoint web', 'croft checkpoint web before-upgrade'],
  args: z.object({
    vm: vmArg,
    label: labelArg
      .optional()
      .describe('Its label (default: c1, c2, …)')
      .meta({ placeholder: 'checkpoint', complete: 'nothing' }),
  }),
  positional: ['vm', 'label'],
  result: checkpointResult.extend({ vm: z.string(), tookMs: z.number() }),
  touches: 'changes',
  async run({ box, report }, { vm, label }) {
    const began = performance.now()
    const { id } = findVm(box.store.state, vm)
    const checkpoint = await box.usage.during(id, 'croft checkpoint', () =>
      takeCheckpoint(box, id, label, 'asked', report),
    )
    return { ...(await describeCheckpoint(box, checkpoint)), vm, tookMs: performance.now() - began }
  },
  print: ({ label, vm, memory, savedMemoryBytes, tookMs }, { croft }) =>
    `${label} is taken, in ${seconds(tookMs)}${memory ? `, with ${bytes(savedMemoryBytes)} of memory` : ', disk only'}.\n` +
    `  go back   ${croft} restore ${vm} ${label}\n`,
  names: ({ label }) => [label],
})
