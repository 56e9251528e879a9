import { join } from 'node:path'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { asCroftError } from '../lib/error.ts'
import { quote } from '../lib/text/command-line.ts'
import { splitWords } from '../lib/text/shell-words.ts'
import { commands } from './index.ts'
import { checkArgs } from './kit/check-args.ts'
import type { Command } from './kit/command.ts'
import { type Parameter, parameters, parseLine } from './kit/line.ts'

/**
 * What each command answers to every kind of wrong argument: missing, empty, too small, too large, of the wrong type,
 * an unknown flag, one too many. The answers are kept in golden/errors.golden, so that every changed sentence is
 * reviewed. An argument that several commands share (`vmArg`) is listed once.
 */

const outcome = (work: () => unknown): string | undefined => {
  try {
    work()
    return undefined
  } catch (thrown) {
    const { code, message, hint } = asCroftError(thrown)
    return `${code}: ${message}${hint ? `\n      ${hint}` : ''}`
  }
}

/** The outcome of the words after `croft`. */
function byLine(words: readonly string[]): string | undefined {
  return outcome(() => {
    const { command, args } = parseLine(commands, words)
    checkArgs(command, args, 'line')
  })
}

const shortened = (text: string): string => text.replace(/x{20,}/g, 'xxx…')
const asLine = (words: readonly string[]): string => ['croft', ...words].map((each) => quote(shortened(each))).join(' ')

const long = 'x'.repeat(70_000)
const wrongText = ['', 'A B', long]
const wrongNumber = ['many', '0', '1.5', '99999999999']
const wrongJson = {
  string: [5, '', 'A B'],
  number: ['many', 0, 1.5],
  boolean: ['yes', null],
  list: ['many', [5], [long]],
}

/** The words of a valid command line, taken from the first example: the name and the positional arguments. */
function rightWords(command: Command): { name: string[]; positions: string[]; rest: string[] } {
  // The redirection is the shell's.
  const example = command.examples[0]!.split(' > ')[0]!
  const { args } = parseLine(commands, splitWords(example).slice(1))
  const known = parameters(command)
  const positions = (command.positional ?? []).flatMap((key) =>
    args[key] !== undefined
      ? [args[key]].flat().map(String)
      : known.find((each) => each.key === key)!.required
        ? ['x']
        : [],
  )
  const rest = command.rest ? ((args[command.rest] ?? []) as string[]) : []
  return { name: command.name.split(' '), positions, rest }
}

function* linesToTry(command: Command, isNew: (parameter: Parameter) => boolean): Generator<string[]> {
  const { name, positions, rest } = rightWords(command)
  const known = parameters(command)
  const positional = (command.positional ?? []).map((key) => known.find((each) => each.key === key)!)
  yield [...name, ...positions, '--bogus', ...rest]
  if (!command.rest)
    yield [...name, ...positional.map((_, i) => positions[i] ?? 'x1'), ...positions.slice(positional.length), 'extra']
  for (let given = 0; given < positional.length; given++) yield [...name, ...positions.slice(0, given)]
  if (command.rest) yield [...name, ...positions]
  for (const [i, parameter] of positional.entries()) {
    yield [...name, ...positions.slice(0, i), parameter.flag, 'x']
    if (!isNew(parameter)) continue
    for (const wrong of parameter.type === 'number' ? wrongNumber : wrongText)
      yield [...name, ...positional.slice(0, i).map((_, at) => positions[at] ?? 'x1'), wrong, ...positions.slice(i + 1)]
  }
  for (const parameter of known.filter((each) => !positional.includes(each) && each.key !== command.rest)) {
    if (!isNew(parameter)) continue
    const { flag, type } = parameter
    const with_ = (...words: string[]) => [...name, ...positions, ...words, ...rest]
    if (type === 'boolean') {
      yield with_(`${flag}=yes`)
      continue
    }
    yield [...name, ...positions, flag]
    for (const wrong of type === 'number' ? wrongNumber : wrongText) yield with_(`${flag}=${wrong}`)
  }
}

function* bodiesToTry(command: Command, isNew: (parameter: Parameter) => boolean): Generator<Record<string, unknown>> {
  const { positions, rest } = rightWords(command)
  const known = parameters(command)
  const right: Record<string, unknown> = {}
  for (const [i, key] of (command.positional ?? []).entries()) {
    const parameter = known.find((each) => each.key === key)!
    const value = parameter.type === 'number' ? Number(positions[i]) : positions[i]
    if (positions[i] !== undefined) right[key] = parameter.many ? positions.slice(i) : value
  }
  if (command.rest && rest.length) right[command.rest] = rest
  yield { ...right, bogus: 1 }
  for (const { key, required } of known)
    if (required) yield Object.fromEntries(Object.entries(right).filter(([each]) => each !== key))
  for (const parameter of known.filter(isNew)) {
    const { key, many, type } = parameter
    for (const wrong of wrongJson[many ? 'list' : type]) yield { ...right, [key]: wrong }
  }
}

function table(): string {
  const seen = { line: new Set<string>(), json: new Set<string>() }
  /** Whether a parameter is not in the table yet under another command. */
  const isNewIn = (form: 'line' | 'json', command: Command) => {
    const { properties = {} } = z.toJSONSchema(command.args, { io: 'input' }) as { properties?: Record<string, object> }
    const mine = new Map(
      Object.entries(properties).map(([key, schema]) => [
        key,
        JSON.stringify([key, schema, command.positional?.includes(key)]),
      ]),
    )
    const before = new Set(seen[form])
    for (const each of mine.values()) seen[form].add(each)
    return ({ key }: Parameter) => !before.has(mine.get(key)!)
  }
  const sections = commands.map((command) => {
    const lines = [...linesToTry(command, isNewIn('line', command))].flatMap((words) => {
      const said = byLine(words)
      return said ? [`  ${asLine(words)}\n    ${shortened(said)}\n`] : []
    })
    const bodies = [...bodiesToTry(command, isNewIn('json', command))].flatMap((body) => {
      const said = outcome(() => checkArgs(command, body, 'json'))
      return said ? [`  ${shortened(JSON.stringify(body))}\n    ${shortened(said)}\n`] : []
    })
    return `${command.name}\n${[...new Set([...lines, ...bodies])].join('')}`
  })
  const others = [
    'bogus',
    'delete web',
    'lsit',
    'image',
    'image bulid',
    'image zap',
    '--json',
    '--bogus',
    'new --memroy 1G',
    'new --cpu 1 --cpu 2',
    'new --cpu --memory 1G',
    'new --memory 1M',
    'new --disk 99999999T',
    'new --disk-limit 1k',
    'new --net-limit 9999999G',
    'new --json=yes',
    'new -x',
    'exec web -x',
    'exec web --usr root id',
  ].map((line) => line.split(' '))
  return [
    `which command\n${others.map((words) => `  ${asLine(words)}\n    ${byLine(words)}\n`).join('')}`,
    ...sections,
  ].join('\n')
}

test('the answers to wrong arguments have not changed unintentionally', async () => {
  await expect(table()).toMatchFileSnapshot(join(import.meta.dirname, 'golden/errors.golden'))
})

test.each([
  [['new', '--cpu', '0'], '--cpu must be at least 1, not 0.'],
  [['new', '--cpu', 'two'], '--cpu must be a whole number, not "two".'],
  [['new', '--tag', 'A B'], `--tag can't be "A B": a tag has 1 to 40 characters of a-z, 0-9, ".", "_" and "-".`],
  [['exec', 'web'], 'croft exec needs <command>.'],
  [['activity', '--vm', 'x'], 'croft activity has no flag --vm: <vm> is a positional argument.'],
  [['ls', '--state', 'up'], '--state must be making, stopped, starting'],
  [['lsit'], 'Did you mean croft ls?'],
  [['bogus'], 'There is no command "bogus".\n      croft help lists them all.'],
  [['delete', 'web'], 'There is no command "delete".\n      Did you mean croft rm?'],
])('croft %j: %s', (words, says) => expect(byLine(words)).toContain(says))

test('no message uses the validator’s vocabulary', () => {
  expect(table()).not.toMatch(/expected|too (small|big)|invalid|received|undefined|\bobject\b|>=|<=/i)
})
