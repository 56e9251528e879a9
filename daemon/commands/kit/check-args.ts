import { z } from 'zod'
import { closest } from '../../core/vm/name.ts'
import { CroftError } from '../../lib/error.ts'
import { quoted, quotedWord, type ValueForm, wrongValue } from '../../lib/text/wrong-value.ts'
import type { Command } from './command.ts'
import { type Parameter, parameters, usageLine } from './line.ts'

/**
 * Checks the arguments given to a command.
 * @throws CroftError `misuse` (something missing or unknown) or `bad-value`, naming the argument and the rule
 */
export function checkArgs(command: Command, given: Record<string, unknown>, form: ValueForm): Record<string, unknown> {
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
      form === 'json' ? [command.name, takes(known)] : [`croft ${command.name}`, `Usage: ${usageLine(command)}`]
    throw new CroftError('misuse', `${name} needs ${label}.`, { hint, argument: key })
  }
  const isOfList = index !== undefined && issue.code !== 'invalid_type'
  const value = isOfList ? (given[key] as unknown[])[index] : given[key]
  throw new CroftError('bad-value', wrongValue(label, value, issue, form), { argument: key })
}

/** Only JSON can have unknown keys: `parseLine` rejects unknown flags. */
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
  known.length ? `It takes: ${known.map(({ key }) => key).join(', ')}` : 'It takes no arguments.'

/** Returns the name of an argument on a command line. */
export function labelOf(command: Command, { key, flag, placeholder }: Parameter): string {
  return command.positional?.includes(key) || command.rest === key ? `<${placeholder}>` : flag
}
