import { z } from 'zod'
import { closest } from '../box/name.ts'
import { CroftError } from '../error.ts'
import type { Command } from './command.ts'
import { type Parameter, parameters, quotedWord, usage } from './line.ts'

/** How arguments were given. What is said of them calls them as they were called there: `--cpu` or `"cpu"`. */
export type Form = 'line' | 'json'

type Issue = z.core.$ZodIssue

/**
 * Checks what was given to a command.
 * @throws CroftError `misuse` (something missing or unknown) or `bad-value`, naming the argument and the rule
 */
export function checkArgs(command: Command, given: Record<string, unknown>, form: Form): Record<string, unknown> {
  const result = z.strictObject(command.args.shape).safeParse(given)
  if (result.success) return result.data
  const known = parameters(command)
  const issue = result.error.issues.find(({ code }) => code === 'unrecognized_keys') ?? result.error.issues[0]!
  if (issue.code === 'unrecognized_keys') throw unknownKey(command, known, issue.keys[0]!)
  const [key = '', index] = issue.path as [string?, number?]
  const parameter = known.find((each) => each.key === key)!
  const label = form === 'json' ? quotedWord(key) : labelOf(command, parameter)
  const isMissing = !Object.hasOwn(given, key) || (issue.code === 'too_small' && issue.origin === 'array')
  if (isMissing) {
    const [name, hint] =
      form === 'json' ? [command.name, takes(known)] : [`croft ${command.name}`, `Usage: ${usage(command)}`]
    throw new CroftError('misuse', `${name} needs ${label}.`, { hint })
  }
  const isOfList = index !== undefined && issue.code !== 'invalid_type'
  const value = isOfList ? (given[key] as unknown[])[index] : given[key]
  throw new CroftError('bad-value', sentence(label, value, issue, form))
}

/** Only JSON has keys of its own. */
function unknownKey(command: Command, known: readonly Parameter[], key: string): CroftError {
  const meant = closest(
    key,
    known.map((each) => each.key),
  )
  return new CroftError('misuse', `${command.name} has no argument ${quoted(key)}.`, {
    hint: meant ? `Did you mean ${quoted(meant)}?` : takes(known),
  })
}

const takes = (known: readonly Parameter[]): string =>
  known.length ? `It takes: ${known.map(({ key }) => key).join(', ')}` : 'It takes none.'

/** How an argument is called on a command line. */
export function labelOf(command: Command, { key, flag, placeholder }: Parameter): string {
  return command.positional?.includes(key) || command.rest === key ? `<${placeholder}>` : flag
}

/** What is wrong with a value, by what zod found. Pure. */
function sentence(label: string, value: unknown, issue: Issue, form: Form): string {
  const not = value === '' && form === 'line' ? 'empty' : quoted(value)
  switch (issue.code) {
    case 'invalid_type':
      return `${label} must be ${issue.path.length > 1 ? 'a list of strings' : kindOf(issue.expected, form)}, not ${not}.`
    case 'invalid_value':
      return `${label} must be ${either.format(issue.values.map(String))}, not ${not}.`
    case 'too_small':
      return issue.origin === 'string'
        ? `${label} must not be empty.`
        : `${label} must be at least ${issue.minimum}, not ${not}.`
    case 'too_big':
      if (issue.origin === 'string') return `${label} has more than ${issue.maximum} characters.`
      if (issue.origin === 'array') return `${label} has more than ${issue.maximum} values.`
      return `${label} must be at most ${issue.maximum}, not ${not}.`
    default:
      return `${label} can't be ${not}: ${issue.message}.`
  }
}

const either = new Intl.ListFormat('en', { type: 'disjunction' })

function kindOf(expected: string, form: Form): string {
  if (expected === 'number' || expected === 'int') return 'a whole number'
  if (expected === 'boolean') return 'true or false'
  if (expected === 'array') return 'a list'
  return form === 'json' ? 'a string' : 'text'
}

/** A value as JSON has it, cut short. */
function quoted(value: unknown): string {
  if (typeof value === 'string') return quotedWord(value)
  const text = JSON.stringify(value) ?? 'that'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
