import { z } from 'zod'
import type { Box } from '../box/box.ts'
import { type Command, command } from './command.ts'
import { findCommand, parameters } from './line.ts'

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
  run: async ({ box, commands }, { words = [''] }) => ({ candidates: candidates(commands, box, words) }),
  print: ({ candidates }) => candidates.map((each) => `${each}\n`).join(''),
  names: ({ candidates }) => candidates,
})

/** The words that may stand where the last of `words` stands, among them only those that begin as it does. */
export function candidates(commands: readonly Command[], box: Box, words: readonly string[]): string[] {
  const begun = words.at(-1) ?? ''
  return proposals(commands, box, words.slice(0, -1)).filter((word) => word.startsWith(begun))
}

function proposals(commands: readonly Command[], box: Box, before: readonly string[]): string[] {
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
  if (last && last.type !== 'boolean') return values(box, last.complete)
  const given = rest.filter((word, i) => !word.startsWith('-') && !isValue(known, rest[i - 1]))
  const position = known.find((each) => each.key === command.positional?.[given.length])
  const flags = known.filter((each) => !command.positional?.includes(each.key) && each.key !== command.rest)
  return [...values(box, position?.complete), ...flags.map((each) => each.flag), '--json', '--help']
}

function isValue(known: ReturnType<typeof parameters>, before: string | undefined): boolean {
  return known.some((each) => each.flag === before && each.type !== 'boolean')
}

function values(box: Box, kind: string | undefined): string[] {
  const { vms, images, keys } = box.store.state
  if (kind === 'vm') return Object.values(vms).map((vm) => vm.name)
  if (kind === 'image') return Object.values(images).flatMap((image) => (image.current ? image.name : []))
  if (kind === 'key') return Object.values(keys).map((key) => key.name)
  return []
}
