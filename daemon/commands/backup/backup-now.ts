import { z } from 'zod'
import { backUpBox, backUpVm } from '../../core/backup/back-up.ts'
import { findVm, vmsOf } from '../../core/box.ts'
import { asCroftError } from '../../lib/error.ts'
import { bytes } from '../../lib/text/units.ts'
import { vmArg } from '../kit/args.ts'
import { command } from '../kit/command.ts'
import { table } from '../kit/text.ts'
import { backupStateResult, describeState } from './results.ts'

export const backupNowCommand = command({
  name: 'backup now',
  summary: 'Back up VMs and the box itself',
  details:
    'Without names: all VMs, then the box itself: its people, keys, shares, certificates and history. A running VM goes on: its file systems stand still for an instant. Sleeping and stopped VMs are not woken. Only what the target has not got yet is sent.',
  examples: ['croft backup now', 'croft backup now web db'],
  args: z.object({ vms: z.array(vmArg).max(1000).optional().describe('VMs to back up, instead of everything') }),
  positional: ['vms'],
  result: z.object({ backups: z.array(backupStateResult) }),
  touches: 'changes',
  async run({ box, report, signal }, { vms = [] }) {
    const ids = (vms.length ? vms.map((name) => findVm(box.store.state, name)) : vmsOf(box.store.state)).map(
      ({ id }) => id,
    )
    const works = [
      ...ids.map((id) => ({
        name: () => box.store.state.vms[id]?.name ?? id,
        work: () => backUpVm(box, id, report, signal),
      })),
      ...(vms.length ? [] : [{ name: () => null, work: () => backUpBox(box, report, signal) }]),
    ]
    const backups = []
    for (const { name, work } of works) {
      try {
        backups.push(describeState(name(), await work()))
      } catch (error) {
        // With one VM, the error is the answer; of many, the others are still backed up.
        if (works.length === 1 || signal.aborted) throw error
        backups.push({ ...describeState(name(), null), error: asCroftError(error).message })
      }
    }
    return { backups }
  },
  print: ({ backups }, view) =>
    table(
      backups,
      [
        { title: 'VM', value: ({ vm }) => vm ?? 'the box itself', dress: () => 'bold' },
        { title: 'SIZE', value: (each) => (each.error ? '–' : bytes(each.bytes)), right: true },
        { title: 'SENT', value: (each) => (each.error ? '–' : bytes(each.addedBytes)), right: true },
        { title: '', value: ({ error }) => (error ? `failed: ${error}` : '') },
      ],
      view,
    ),
  exitCode: ({ backups }) => (backups.some(({ error }) => error) ? 1 : 0),
})
