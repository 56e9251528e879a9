import { z } from 'zod'
import { checkResult, printChecks } from '../box/doctor.ts'
import { command } from '../kit/command.ts'
import { webOf } from './share.ts'

export const domainCheckCommand = command({
  name: 'domain check',
  summary: 'Check that names lead to this box and certificates are valid',
  examples: ['croft domain check'],
  args: z.object({}),
  result: z.object({ checks: z.array(checkResult) }),
  touches: 'reads',
  run: async ({ host }) => ({ checks: await webOf(host).check() }),
  print: ({ checks }, view) => printChecks(checks, view, 'Web addresses work.'),
  exitCode: ({ checks }) => (checks.some((check) => check.state === 'wrong') ? 1 : 0),
})
