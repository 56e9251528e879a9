import { z } from 'zod'
import { command, type View } from '../kit/command.ts'
import { style } from '../kit/text.ts'

export const checkResult = z.object({
  what: z.string(),
  state: z.enum(['fine', 'look', 'wrong']),
  says: z.string(),
  advice: z.string().optional(),
})

export const doctorCommand = command({
  name: 'doctor',
  summary: 'Check the box and say what to fix',
  examples: ['croft doctor'],
  args: z.object({}),
  result: z.object({
    checks: z.array(checkResult),
  }),
  touches: 'reads',
  run: async ({ host }) => ({ checks: await host.checks() }),
  print: ({ checks }, view) => printChecks(checks, view, 'The box is healthy.'),
  exitCode: ({ checks }) => (checks.some((check) => check.state === 'wrong') ? 1 : 0),
})

/** @param well the last line when no check failed */
export function printChecks(checks: readonly z.infer<typeof checkResult>[], view: View, well: string): string {
  const signs = { fine: style(view, 'green', '✓'), look: style(view, 'amber', '!'), wrong: style(view, 'red', '✗') }
  const longest = Math.max(...checks.map((check) => check.what.length))
  const lines = checks.map(
    (check) =>
      `${signs[check.state]} ${check.what.padEnd(longest)}   ${check.says}\n` +
      (check.advice ? `${' '.repeat(longest + 5)}${style(view, 'dim', check.advice)}\n` : ''),
  )
  const wrong = checks.filter((check) => check.state === 'wrong').length
  return `${lines.join('')}${wrong ? `${wrong} of ${checks.length} checks failed.` : well}\n`
}
