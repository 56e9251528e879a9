import { z } from 'zod'
import { command } from './command.ts'
import { style } from './text.ts'

export const doctorCommand = command({
  name: 'doctor',
  summary: 'Look at the box and say what is wrong, and what to do',
  examples: ['croft doctor'],
  args: z.object({}),
  result: z.object({
    checks: z.array(
      z.object({
        what: z.string(),
        state: z.enum(['fine', 'look', 'wrong']),
        says: z.string(),
        advice: z.string().optional(),
      }),
    ),
  }),
  touches: 'reads',
  run: async ({ host }) => ({ checks: await host.checks() }),
  print({ checks }, view) {
    const signs = { fine: style(view, 'green', '✓'), look: style(view, 'amber', '!'), wrong: style(view, 'red', '✗') }
    const longest = Math.max(...checks.map((check) => check.what.length))
    const lines = checks.map(
      (check) =>
        `${signs[check.state]} ${check.what.padEnd(longest)}   ${check.says}\n` +
        (check.advice ? `${' '.repeat(longest + 5)}${style(view, 'dim', check.advice)}\n` : ''),
    )
    const wrong = checks.filter((check) => check.state === 'wrong').length
    return `${lines.join('')}${wrong ? `${wrong} of ${checks.length} things are wrong.` : 'The box is well.'}\n`
  },
  exitCode: ({ checks }) => (checks.some((check) => check.state === 'wrong') ? 1 : 0),
})
