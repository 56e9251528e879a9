import type { z } from 'zod'

/** How values were given: on a command line, all of them are text. */
export type ValueForm = 'line' | 'json'

/** Puts zod's finding about a value into a sentence without zod's words. Pure. */
export function wrongValue(label: string, value: unknown, issue: z.core.$ZodIssue, form: ValueForm): string {
  const not = value === '' && form === 'line' ? 'empty' : quoted(value)
  switch (issue.code) {
    case 'invalid_type':
      return `${label} must be ${typeof issue.path.at(-1) === 'number' ? 'a list of strings' : kindOf(issue.expected, form)}, not ${not}.`
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
    case 'invalid_union':
      return `${label} can't be ${not}.`
    case 'unrecognized_keys':
      return `${label} has no ${quoted(issue.keys[0])}.`
    default:
      return `${label} can't be ${not}: ${issue.message}.`
  }
}

const either = new Intl.ListFormat('en', { type: 'disjunction' })

function kindOf(expected: string, form: ValueForm): string {
  if (expected === 'number' || expected === 'int') return 'a whole number'
  if (expected === 'boolean') return 'true or false'
  if (expected === 'array') return 'a list'
  if (expected === 'object') return 'an object'
  return form === 'json' ? 'a string' : 'text'
}

/** A value as JSON, truncated. */
export function quoted(value: unknown): string {
  if (typeof value === 'string') return quotedWord(value)
  const text = JSON.stringify(value) ?? 'that'
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** A word as typed, in quotes and truncated. */
export const quotedWord = (word: string): string => JSON.stringify(word.length > 40 ? `${word.slice(0, 40)}…` : word)

/** Does the same for a JSON file: describes its first fault, and where it is. Pure. */
export function wrongIn(value: unknown, { issues: [issue] }: z.core.$ZodError): string {
  let at: unknown = value
  for (const key of issue!.path) at = (at as Record<PropertyKey, unknown> | undefined)?.[key]
  return wrongValue(issue!.path.length ? quotedWord(issue!.path.join('.')) : 'it', at, issue!, 'json')
}
