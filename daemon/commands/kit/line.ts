import { z } from 'zod'
import { closest } from '../../core/vm/name.ts'
import { CroftError } from '../../lib/error.ts'
import { flagOf, isOfFile } from '../../lib/text/command-line.ts'
import { quotedWord } from '../../lib/text/wrong-value.ts'
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
  /** The value is the path of a file of the caller's, so the caller's shell completes it. */
  path: boolean
  literal: string | undefined
  secret: boolean
  options: boolean
  complete: string | undefined
  /** All possible values, if there is a fixed set. */
  values: readonly string[] | undefined
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

/** Derives the parameters of a command from its schema. */
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
      path: of('file') === true || of('path') === true,
      literal: of('literal') as string | undefined,
      secret: of('secret') === true,
      options: of('options') === true,
      complete: of('complete') as string | undefined,
      values: of('enum') as string[] | undefined,
      default: outer.default,
    }
  })
}

/** A parsed command line: the command, its arguments, and the flags that every command has. */
export interface ParsedLine {
  command: Command
  /** Keyed as in the command's schema, not checked yet; the values of `files` are still paths. */
  args: Record<string, unknown>
  files: string[]
  json: boolean
  quiet: boolean
  yes: boolean
  help: boolean
}

/**
 * Finds the command that the words begin with, preferring a name of two words.
 * @throws CroftError `misuse`, suggesting the command that was probably meant
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
      second && !second.startsWith('-')
        ? `croft ${first} has no subcommand ${quotedWord(second)}.`
        : `croft ${first} needs a subcommand.`,
      {
        hint:
          meant && second
            ? `Did you mean croft ${first} ${meant}?`
            : `Choose one of: ${verbs.map((verb) => `croft ${first} ${verb}`).join(', ')}`,
      },
    )
  }
  const names = new Set(commands.map((command) => command.name.split(' ')[0]!))
  const near = elsewhere.has(first) ? first : closest(first, [...names, ...elsewhere.keys()])
  const meant = near && (elsewhere.get(near) ?? near)
  throw new CroftError(
    'misuse',
    first.startsWith('-') ? `Put the command before ${first}.` : `There is no command ${quotedWord(first)}.`,
    { hint: meant ? `Did you mean croft ${meant}?` : 'croft help lists them all.' },
  )
}

/** Names of commands in other tools, mapped to the names here. */
const elsewhere = new Map(
  Object.entries({
    ls: ['list', 'ps', 'status'],
    show: ['info', 'inspect', 'describe'],
    new: ['create', 'run', 'add', 'launch', 'up'],
    ssh: ['shell', 'enter', 'attach', 'console'],
    rm: ['delete', 'remove', 'destroy', 'del'],
    cp: ['copy', 'clone', 'fork'],
    checkpoint: ['snapshot', 'save', 'commit'],
    restart: ['reboot'],
    stop: ['shutdown', 'halt', 'poweroff', 'kill', 'down'],
    sleep: ['suspend', 'pause', 'hibernate'],
    wake: ['resume', 'unpause'],
    rename: ['mv'],
    'push or croft pull': ['scp', 'sftp', 'rsync'],
    push: ['upload', 'put'],
    pull: ['download', 'get', 'fetch'],
    'share public': ['expose', 'publish'],
  }).flatMap(([name, words]) => words.map((word) => [word, name])),
)

/** Parses a command line. @throws CroftError `misuse`, naming the wrong word */
export function parseLine(commands: readonly Command[], words: readonly string[]): ParsedLine {
  const [first = ''] = words
  const { command, rest: after } = findCommand(commands, Object.hasOwn(alone, first) ? [alone[first]!] : words)
  const known = parameters(command)
  const rest = known.find(({ key }) => key === command.rest)
  const line: ParsedLine = { command, args: {}, files: [], json: false, quiet: false, yes: false, help: false }
  const positions = [...(command.positional ?? [])]
  const queue = [...after]
  let flagsAreOver = false

  for (let word = queue.shift(); word !== undefined; word = queue.shift()) {
    if (rest && positions.length === 0 && (flagsAreOver || beginsRest(rest, word))) {
      line.args[rest.key] = word === '--' && !flagsAreOver ? [...queue] : [word, ...queue]
      break
    }
    if (!flagsAreOver && word === '--') flagsAreOver = true
    else if (!flagsAreOver && word.startsWith('-') && word !== '-') takeFlag(line, known, word, queue)
    else takePosition(line, known, positions, word)
  }
  return line
}

/** Whether the words that are passed on begin with this one. All words before it, flags included, are Croft's. */
const beginsRest = ({ options }: Parameter, word: string): boolean =>
  !word.startsWith('-') || word === '-' || word === '--' || (options && !(word.startsWith('--') && isGeneral(word)))

/** Flags that many programs accept without a command. */
const alone: Readonly<Record<string, string>> = { '--help': 'help', '-h': 'help', '--version': 'version' }

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
  const isFlag = parameter && !command.positional?.includes(parameter.key) && command.rest !== parameter.key
  if (inline !== undefined && (isFlag ? parameter.type === 'boolean' : isGeneral(flag)))
    throw new CroftError('misuse', `${flag} takes no value.`, { hint: `Write just: ${flag}` })
  if (!isFlag) {
    if (!isGeneral(flag)) throw unknownFlag(command, known, flag, parameter)
    line[general[flag]] = true
    return
  }
  if (parameter.type === 'boolean') {
    line.args[parameter.key] = true
    return
  }
  const next = queue[0]
  const isFlagToo = next !== undefined && (next in general || known.some((each) => each.flag === next))
  const value = inline ?? (isFlagToo ? undefined : queue.shift())
  if (value === undefined)
    throw new CroftError('misuse', `${flag} needs a value: ${parameter.flag} <${parameter.placeholder}>`)
  put(line, parameter, value)
}

/** @param positional the positional parameter of that name, if there is one */
function unknownFlag(
  command: Command,
  known: readonly Parameter[],
  flag: string,
  positional: Parameter | undefined,
): CroftError {
  const shown = flag.length > 40 ? `${flag.slice(0, 40)}…` : flag
  if (positional)
    return new CroftError(
      'misuse',
      `croft ${command.name} has no flag ${flag}: <${positional.placeholder}> is a positional argument.`,
      { hint: `Usage: ${usageLine(command)}` },
    )
  const meant = flag.startsWith('--')
    ? closest(flag, [...flagsOf(command, known), ...Object.keys(general).filter((each) => each.startsWith('--'))])
    : undefined
  const passesOn = known.some(({ key, required }) => key === command.rest && required)
  const afterDashes = passesOn ? ' If the command to run begins with "-", put -- before it.' : ''
  return new CroftError('misuse', `croft ${command.name} has no flag ${shown}.`, {
    hint: meant ? `Did you mean ${meant}?` : `croft help ${command.name} lists its flags.${afterDashes}`,
  })
}

const flagsOf = (command: Command, known: readonly Parameter[]): string[] =>
  known.flatMap(({ key, flag }) => (command.positional?.includes(key) || command.rest === key ? [] : flag))

function takePosition(line: ParsedLine, known: readonly Parameter[], positions: string[], word: string): void {
  const key = positions[0]
  const parameter = known.find((each) => each.key === key)
  if (!parameter) {
    throw new CroftError('misuse', `${quotedWord(word)} is one argument too many for croft ${line.command.name}.`, {
      hint: `Usage: ${usageLine(line.command)}`,
    })
  }
  if (!parameter.many) positions.shift()
  put(line, parameter, word)
}

function put(line: ParsedLine, parameter: Parameter, text: string): void {
  const { key } = parameter
  const value = parameter.type === 'number' && /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
  if (parameter.many) line.args[key] = [...((line.args[key] as unknown[] | undefined) ?? []), value]
  else if (key in line.args) throw new CroftError('misuse', `${parameter.flag} is given twice but takes one value.`)
  else line.args[key] = value
  if (parameter.file && isOfFile(parameter, text)) line.files.push(key)
}

/** Returns the usage in one line, such as `croft new [<name>] [flags]`. */
export function usageLine(command: Command): string {
  const known = parameters(command)
  const positional = command.positional ?? []
  const words = positional.map((key) => {
    const parameter = known.find((each) => each.key === key)!
    const word = `<${parameter.placeholder}>${parameter.many ? '…' : ''}`
    return parameter.required ? word : `[${word}]`
  })
  if (flagsOf(command, known).length) words.push('[flags]')
  const rest = known.find(({ key }) => key === command.rest)
  if (rest) words.push(rest.required ? `[--] <${rest.placeholder}>…` : `[<${rest.placeholder}>…]`)
  return ['croft', command.name, ...words].join(' ')
}
