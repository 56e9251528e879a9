import { z } from 'zod'
import { closest } from '../box/name.ts'
import { CroftError } from '../error.ts'
import { flagOf, isOfFile } from '../spelling.ts'
import { type Command, slug } from './command.ts'

/** A flag or positional argument as JSON Schema describes it. */
export interface Parameter {
  key: string
  flag: string
  type: 'string' | 'number' | 'boolean'
  many: boolean
  required: boolean
  description: string
  placeholder: string
  file: boolean
  literal: string | undefined
  secret: boolean
  complete: string | undefined
  default: unknown
}

type JsonSchema = {
  type?: string
  items?: JsonSchema
  description?: string
  default?: unknown
  properties?: Record<string, JsonSchema>
  required?: string[]
} & Record<string, unknown>

/** What can be given to a command, read off its schema. */
export function parameters(command: Command): Parameter[] {
  const schema = z.toJSONSchema(command.args, { io: 'input' }) as JsonSchema
  return Object.entries(schema.properties ?? {}).map(([key, outer]) => {
    const many = outer.type === 'array'
    const inner = many ? (outer.items ?? {}) : outer
    const type =
      inner.type === 'boolean' ? 'boolean' : inner.type === 'integer' || inner.type === 'number' ? 'number' : 'string'
    const of = (name: string) => outer[name] ?? inner[name]
    return {
      key,
      flag: flagOf(key),
      type,
      many,
      required: schema.required?.includes(key) ?? false,
      description: String(of('description') ?? ''),
      placeholder: String(of('placeholder') ?? key),
      file: of('file') === true,
      literal: of('literal') as string | undefined,
      secret: of('secret') === true,
      complete: of('complete') as string | undefined,
      default: outer.default,
    }
  })
}

/** A command line understood: which command, what was given to it, and the flags that every command has. */
export interface ParsedLine {
  command: Command
  /** As the command's schema takes it, not checked yet; `files` are still paths. */
  args: Record<string, unknown>
  files: string[]
  json: boolean
  quiet: boolean
  yes: boolean
  help: boolean
}

/**
 * Finds the command that words begin with, preferring a name of two words.
 * @throws CroftError `misuse`, with the command that was probably meant
 */
export function findCommand(
  commands: readonly Command[],
  words: readonly string[],
): { command: Command; rest: readonly string[] } {
  const [first = '', second = ''] = words
  const two = commands.find((command) => command.name === `${first} ${second}`)
  if (two) return { command: two, rest: words.slice(2) }
  const one = commands.find((command) => command.name === first || slug(command) === first)
  if (one) return { command: one, rest: words.slice(1) }
  const group = commands.filter((command) => command.name.startsWith(`${first} `))
  if (group.length) {
    const verbs = group.map((command) => command.name.slice(first.length + 1))
    const meant = closest(second, verbs)
    throw new CroftError(
      'misuse',
      second && !second.startsWith('-') ? `croft ${first} has no "${second}".` : `croft ${first} needs a verb.`,
      {
        hint:
          meant && second
            ? `Did you mean croft ${first} ${meant}?`
            : `There are: ${verbs.map((verb) => `croft ${first} ${verb}`).join(', ')}`,
      },
    )
  }
  const names = new Set(commands.map((command) => command.name.split(' ')[0]!))
  const meant = closest(first, names)
  throw new CroftError('misuse', `There is no command ${JSON.stringify(first.slice(0, 40))}.`, {
    hint: meant ? `Did you mean croft ${meant}?` : 'croft help lists them all.',
  })
}

/** @throws CroftError `misuse` with a sentence that names the word which is wrong */
export function parseLine(commands: readonly Command[], words: readonly string[]): ParsedLine {
  const { command, rest } = findCommand(commands, words)
  const known = parameters(command)
  const line: ParsedLine = { command, args: {}, files: [], json: false, quiet: false, yes: false, help: false }
  const positions = [...(command.positional ?? [])]
  const queue = [...rest]
  let flagsAreOver = false

  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (command.rest && positions.length === 0 && !(word.startsWith('--') && isGeneral(word) && !flagsAreOver)) {
      const left = word === '--' && !flagsAreOver ? queue : [word, ...queue]
      line.args[command.rest] = [...left]
      break
    }
    if (!flagsAreOver && word === '--') flagsAreOver = true
    else if (!flagsAreOver && word.startsWith('-') && word !== '-') takeFlag(line, known, word, queue)
    else takePosition(line, known, positions, word)
  }
  return line
}

const general = {
  '--json': 'json',
  '--quiet': 'quiet',
  '-q': 'quiet',
  '--yes': 'yes',
  '-y': 'yes',
  '--help': 'help',
  '-h': 'help',
} as const

function isGeneral(word: string): word is keyof typeof general {
  return word in general
}

function takeFlag(line: ParsedLine, known: readonly Parameter[], word: string, queue: string[]): void {
  const [, flag = word, inline] = /^(--[^=]+)=(.*)$/s.exec(word) ?? []
  const { command } = line
  const short = Object.entries(command.short ?? {}).find(([, letter]) => `-${letter}` === flag)?.[0]
  const parameter = known.find((each) => each.flag === flag || each.key === short)
  if (!parameter || command.positional?.includes(parameter.key)) {
    if (isGeneral(flag)) {
      line[general[flag]] = true
      return
    }
    const meant = closest(flag, [...known.map((each) => each.flag), ...Object.keys(general)])
    throw new CroftError('misuse', `croft ${command.name} has no flag ${JSON.stringify(flag.slice(0, 40))}.`, {
      hint: meant ? `Did you mean ${meant}?` : `croft help ${command.name} lists its flags.`,
    })
  }
  if (parameter.type === 'boolean') {
    if (inline !== undefined) throw new CroftError('misuse', `${flag} takes no value.`)
    line.args[parameter.key] = true
    return
  }
  const value = inline ?? queue.shift()
  if (value === undefined) {
    throw new CroftError('misuse', `${flag} needs a value.`, { hint: `For example: ${flag} ${parameter.placeholder}` })
  }
  put(line, parameter, value)
}

function takePosition(line: ParsedLine, known: readonly Parameter[], positions: string[], word: string): void {
  const key = positions[0]
  const parameter = known.find((each) => each.key === key)
  if (!parameter) {
    throw new CroftError(
      'misuse',
      `croft ${line.command.name} does not know what to do with ${JSON.stringify(word.slice(0, 40))}.`,
      {
        hint: `It is used so: ${usage(line.command)}`,
      },
    )
  }
  if (!parameter.many) positions.shift()
  put(line, parameter, word)
}

function put(line: ParsedLine, parameter: Parameter, text: string): void {
  const { key } = parameter
  const value = parameter.type === 'number' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  if (parameter.many) line.args[key] = [...((line.args[key] as unknown[] | undefined) ?? []), value]
  else if (key in line.args) throw new CroftError('misuse', `${parameter.flag} was given twice.`)
  else line.args[key] = value
  if (parameter.file && isOfFile(parameter, text)) line.files.push(key)
}

/** `croft new [name] [--image image] …`, in one line. */
export function usage(command: Command): string {
  const known = parameters(command)
  const positional = command.positional ?? []
  const words = positional.map((key) => {
    const parameter = known.find((each) => each.key === key)!
    const word = `<${parameter.placeholder}>${parameter.many ? '…' : ''}`
    return parameter.required ? word : `[${word}]`
  })
  if (command.rest) words.push('[--] <command>…')
  const flags = known.filter((each) => !positional.includes(each.key) && each.key !== command.rest)
  if (flags.length) words.push('[flags]')
  return ['croft', command.name, ...words].join(' ')
}

/**
 * Checks what was given to a command.
 * @throws CroftError `misuse` (something missing or unknown) or `bad-value`, naming the argument and the rule
 */
export function checkArgs(command: Command, given: Record<string, unknown>): Record<string, unknown> {
  const result = z.strictObject(command.args.shape).safeParse(given)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  const key = String(issue.path[0] ?? '')
  const parameter = parameters(command).find((each) => each.key === key)
  const label = parameter && !command.positional?.includes(key) ? parameter.flag : `<${parameter?.placeholder ?? key}>`
  if (issue.code === 'unrecognized_keys') {
    throw new CroftError(
      'misuse',
      `${command.name} has no argument ${issue.keys.map((each) => JSON.stringify(each.slice(0, 40))).join(', ')}.`,
      {
        hint: `It is used so: ${usage(command)}`,
      },
    )
  }
  if (!(key in given)) {
    throw new CroftError('misuse', `croft ${command.name} needs ${label}.`, {
      hint: `It is used so: ${usage(command)}`,
    })
  }
  throw new CroftError('bad-value', `${label} can't be ${show(given[key])}: ${lower(issue.message)}.`, {
    hint: parameter?.description ? `${label}: ${parameter.description}` : undefined,
  })
}

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 60) ?? 'that'
const lower = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1).replace(/\.$/, '')
