import { z } from 'zod'
import { CroftError } from '../error.ts'
import { bytes } from '../units.ts'
import { command } from './command.ts'

export const boxKsmCommand = command({
  name: 'box ksm',
  summary: 'Have VMs share pages of memory that are the same, or not',
  details:
    'The kernel looks for pages that several VMs have alike, and keeps one of them (KSM). VMs made from one image have much alike, so more of them fit; looking takes a few percent of a CPU. The risk: a VM can find out, by the time that a write takes, whether another has a page that it knows. It is off unless you turn it on, and should be where you don’t trust what runs in your VMs. It stays as it is set. Without a word, it says how it is.',
  examples: ['croft box ksm', 'croft box ksm on', 'croft box ksm off'],
  args: z.object({ wanted: z.enum(['on', 'off']).optional().describe('on or off').meta({ placeholder: 'on|off' }) }),
  positional: ['wanted'],
  result: z.object({ on: z.boolean(), savedBytes: z.number() }),
  touches: 'changes',
  async run({ box, host }, { wanted }) {
    if (wanted !== undefined) {
      await host.samePages.set(wanted === 'on')
      await box.store.update((state) => ({ ...state, samePages: wanted === 'on' }))
    }
    const found = await host.samePages.read()
    if (!found) throw new CroftError('unavailable', 'The kernel of this box can not share pages (KSM).')
    return found
  },
  print: ({ on, savedBytes }) =>
    on ? `VMs share pages that are the same: ${bytes(savedBytes)} saved.\n` : 'Each VM has pages of its own.\n',
})
