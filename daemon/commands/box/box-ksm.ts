import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { bytes } from '../../lib/text/units.ts'
import { command } from '../kit/command.ts'

export const boxKsmCommand = command({
  name: 'box ksm',
  summary: 'Turn memory deduplication (KSM) on or off',
  details:
    "The kernel looks for identical pages in several VMs and keeps one copy (KSM). VMs made from one image have many in common, so more of them fit; the search takes a few percent of a CPU. The risk: by timing its writes, a VM can find out whether another VM has a page with known content. Leave it off, which is the default, if you don't trust what runs in your VMs. The setting survives restarts. Without an argument, the command prints the current setting.",
  examples: ['croft box ksm', 'croft box ksm on', 'croft box ksm off'],
  args: z.object({ wanted: z.enum(['on', 'off']).optional().describe('on or off').meta({ placeholder: 'on|off' }) }),
  positional: ['wanted'],
  result: z.object({ on: z.boolean(), savedBytes: z.number() }),
  touches: 'changes',
  async run({ box, host }, { wanted }) {
    if (wanted !== undefined) {
      await host.ksm.set(wanted === 'on')
      await box.store.update((state) => ({ ...state, samePages: wanted === 'on' }))
    }
    const found = await host.ksm.read()
    if (!found) throw new CroftError('unavailable', 'The kernel of this box has no memory deduplication (KSM).')
    return found
  },
  print: ({ on, savedBytes }) =>
    on ? `Memory deduplication is on: ${bytes(savedBytes)} saved.\n` : 'Memory deduplication is off.\n',
})
