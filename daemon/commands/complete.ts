import { z } from 'zod'
import { vmsOf } from '../box/box.ts'
import type { State } from '../store/index.ts'
import { type Command, command } from './command.ts'
import { findCommand, parameters } from './line.ts'
import { maySee, type Scope, seesSome } from './scope.ts'

export const completeCommand = command({
  name: 'complete',
  summary: 'What could come next on a command line',
  details: 'The scripts of croft completion ask this.',
  examples: ['croft complete -- new --i'],
  args: z.object({
    words: z
      .array(z.string())
      .optional()
      .describe('The words so far, the last of them begun')
      .meta({ placeholder: 'word' }),
  }),
  rest: 'words',
  result: z.object({ candidates: z.array(z.string()) }),
  touches: 'reads',
  run: async ({ box, commands, scope }, { words = [''] }) => ({
    candidates: candidates(commands, box.store.state, scope, words),
  }),
  print: ({ candidates }) => candidates.map((each) => `${each}\n`).join(''),
  names: ({ candidates }) => candidates,
})

/** The words that may stand where the last of `words` stands, among them only those that begin as it does. */
export function candidates(
  commands: readonly Command[],
  state: State,
  scope: Scope,
  words: readonly string[],
): string[] {
  const begun = words.at(-1) ?? ''
  return proposals(commands, (kind) => values(state, scope, kind), words.slice(0, -1)).filter((word) =>
    word.startsWith(begun),
  )
}

/** @param valuesOf what a value of a kind may be */
function proposals(
  commands: readonly Command[],
  valuesOf: (kind: string | undefined) => string[],
  before: readonly string[],
): string[] {
  if (before.length === 0) return [...new Set(commands.map((each) => each.name.split(' ')[0]!))]
  const verbs = commands.flatMap((each) => (each.name.startsWith(`${before[0]} `) ? [each.name.split(' ')[1]!] : []))
  if (verbs.length && before.length === 1) return verbs
  let found: { command: Command; rest: readonly string[] }
  try {
    found = findCommand(commands, before)
  } catch {
    return []
  }
  const { command, rest } = found
  const known = parameters(command)
  const last = known.find((each) => each.flag === rest.at(-1))
  if (last && last.type !== 'boolean') return valuesOf(last.complete)
  const given = rest.filter((word, i) => !word.startsWith('-') && !isValue(known, rest[i - 1]))
  const position = known.find((each) => each.key === command.positional?.[given.length])
  const flags = known.filter((each) => !command.positional?.includes(each.key) && each.key !== command.rest)
  return [...valuesOf(position?.complete), ...flags.map((each) => each.flag), '--json', '--help']
}

function isValue(known: ReturnType<typeof parameters>, before: string | undefined): boolean {
  return known.some((each) => each.flag === before && each.type !== 'boolean')
}

/** Who is limited to some VMs is shown those, and nothing of the rest of the box. */
function values(state: State, scope: Scope, kind: string | undefined): string[] {
  const { images, keys } = state
  if (kind === 'vm') return vmsOf(state).flatMap((vm) => (maySee(scope, vm) ? vm.name : []))
  if (seesSome(scope)) return []
  if (kind === 'image') return Object.values(images).flatMap((image) => (image.current ? image.name : []))
  if (kind === 'key') return Object.values(keys).map((key) => key.name)
  return []
}
