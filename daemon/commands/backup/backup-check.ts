import { z } from 'zod'
import { command } from '../kit/command.ts'

export const backupCheckCommand = command({
  name: 'backup check',
  summary: 'Check that the backups are whole',
  details: 'With --read, so many percent of the data is read back from the target and checked too.',
  examples: ['croft backup check', 'croft backup check --read 5%'],
  args: z.object({
    read: z
      .string()
      .regex(/^(100|[1-9]?[0-9])%?$/, 'it must be a percentage, such as 5%')
      .optional()
      .describe('How much of the data to read back, such as 5%')
      .meta({ placeholder: 'percent' }),
  }),
  result: z.object({ target: z.string(), read: z.number(), problems: z.array(z.string()) }),
  touches: 'reads',
  async run({ box, report, signal }, { read = '0' }) {
    const target = box.backups.target?.repository ?? ''
    report({ subject: target, step: 'checking', fraction: 0.1 })
    const percent = Number.parseInt(read, 10)
    return { target, read: percent, problems: await box.backups.check(percent, signal) }
  },
  print({ target, read, problems }) {
    if (problems.length)
      return `The backups at ${target} are damaged:\n${problems.map((each) => `  ${each}\n`).join('')}`
    return `The backups at ${target} are whole${read ? `; ${read} % of the data was read back` : ''}.\n`
  },
  exitCode: ({ problems }) => (problems.length ? 1 : 0),
})
