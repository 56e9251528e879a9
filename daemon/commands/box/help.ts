import { z } from 'zod'
import { asTyped } from '../kit/as-typed.ts'
import { type Command, command, type View } from '../kit/command.ts'
import { findCommand, parameters, usageLine } from '../kit/line.ts'
import { style } from '../kit/text.ts'

const line = z.object({ name: z.string(), summary: z.string(), group: z.string().optional() })
const page = line.omit({ group: true }).extend({
  usage: z.string(),
  details: z.string().optional(),
  arguments: z.array(z.object({ form: z.string(), description: z.string() })),
  examples: z.array(z.string()),
})
type Page = z.infer<typeof page>

export const helpCommand = command({
  name: 'help',
  summary: 'List all commands, or explain one',
  examples: ['croft help', 'croft help new'],
  args: z.object({ command: z.array(z.string()).optional().describe('A command').meta({ placeholder: 'command' }) }),
  positional: ['command'],
  result: z.object({ commands: z.array(line), command: page.optional() }),
  touches: 'nothing',
  async run({ commands }, { command: words = [] }) {
    const lines = commands.map(({ name, summary, group }) => ({ name, summary, ...(group && { group }) }))
    return { commands: lines, ...(words.length && { command: describeCommand(findCommand(commands, words).command) }) }
  },
  print: ({ commands, command }, view) => (command ? printCommand(command, view) : printOverview(commands, view)),
  names: ({ commands }) => commands.map(({ name }) => name),
})

export function printOverview(commands: readonly z.infer<typeof line>[], view: View): string {
  const longest = Math.max(...commands.map(({ name }) => name.length))
  const groups = Map.groupBy(
    commands.filter(({ group }) => group),
    ({ group }) => group!,
  )
  const parts = [...groups].map(([title, all]) => {
    const lines = all.map(({ name, summary }) => `  ${name.padEnd(longest)}   ${summary}\n`)
    return `${style(view, 'bold', title)}\n${lines.join('')}\n`
  })
  return (
    `Croft: your own cloud of VMs on this box.\n\n${parts.join('')}` +
    `Every command takes --json, and -q to print only names. ${style(view, 'bold', `${view.croft} help <command>`)} explains one.\n`
  )
}

/** Derives the help page of a command from its declaration. */
export function describeCommand(command: Command): Page {
  const own = parameters(command).map((each) => {
    const positional = command.positional?.includes(each.key) || command.rest === each.key
    const short = (command.short as Record<string, string> | undefined)?.[each.key]
    const flag = `${short ? `-${short}, ` : ''}${each.flag}${each.type === 'boolean' ? '' : ` <${each.placeholder}>`}`
    const fallback = each.default === undefined ? '' : ` (${each.default})`
    return { form: positional ? `<${each.placeholder}>` : flag, description: `${each.description}${fallback}` }
  })
  const general = [
    { form: '--json', description: 'Print the result as JSON' },
    { form: '-q, --quiet', description: 'Print only names' },
    ...(command.confirm ? [{ form: '-y, --yes', description: 'Do not ask for confirmation' }] : []),
  ]
  const { name, summary, details, examples } = command
  return {
    name,
    summary,
    usage: usageLine(command),
    arguments: [...own, ...general],
    examples: [...examples],
    ...(details && { details }),
  }
}

export function printCommand(page: Page, view: View): string {
  const typed = (text: string) => asTyped(text, view.croft)
  const longest = Math.max(...page.arguments.map(({ form }) => form.length))
  return [
    `${page.summary}.\n\n  ${style(view, 'bold', typed(page.usage))}\n\n`,
    page.details ? `${typed(page.details)}\n\n` : '',
    ...page.arguments.map(({ form, description }) => `  ${form.padEnd(longest)}   ${description}\n`),
    `\nFor example:\n${page.examples.map((example) => `  ${typed(example)}\n`).join('')}`,
  ].join('')
}
