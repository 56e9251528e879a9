import { z } from 'zod'
import type { Scope } from '../../core/access/principal.ts'
import { stateOf, vmsOf } from '../../core/box.ts'
import { checkpointsOf } from '../../core/checkpoint/find.ts'
import type { State, Vm } from '../../store/index.ts'
import { type Command, command } from '../kit/command.ts'
import { findCommand, type Parameter, parameters } from '../kit/line.ts'
import { maySee, seesSome } from '../kit/scope.ts'

export const completeCommand = command({
  name: 'complete',
  summary: 'Suggest what can come next on a command line',
  details: 'The scripts that croft completion prints call this.',
  examples: ['croft complete -- new --i'],
  args: z.object({
    words: z
      .array(z.string())
      .optional()
      .describe('The words so far; the last one may be incomplete')
      .meta({ placeholder: 'word' }),
  }),
  rest: 'words',
  result: z.object({ candidates: z.array(z.string()) }),
  touches: 'reads',
  listsVms: true,
  run: async ({ box, host, commands, principal: { scope } }, { words = [''] }) => ({
    candidates: await candidates(commands, box.store.state, scope, words, async (vm) =>
      stateOf(box, vm) === 'awake' ? (await host.web.listening(vm).catch(() => [])).map(({ port }) => port) : [],
    ),
  }),
  print: ({ candidates }) => candidates.map((each) => `${each}\n`).join(''),
  names: ({ candidates }) => candidates,
})

/**
 * Returns the words that can replace the last of `words`, limited to those that begin with it.
 * @param listening returns the ports that a VM listens on
 */
export async function candidates(
  commands: readonly Command[],
  state: State,
  scope: Scope,
  words: readonly string[],
  listening: (vm: Vm) => Promise<number[]> = async () => [],
): Promise<string[]> {
  const begun = words.at(-1) ?? ''
  const { given = [], value, others } = wanted(commands, words.slice(0, -1))
  const named = vmsOf(state).find((vm) => maySee(scope, vm) && given.includes(vm.name))
  // When this offers nothing, the shell offers files.
  if (value?.path && !begun.startsWith('-')) return []
  const values = value ? await valuesOf(value, state, scope, named, listening) : []
  return [...values, ...others].filter((word) => word.startsWith(begun))
}

interface Wanted {
  /** The positional words so far. */
  given?: readonly string[]
  /** The parameter whose value comes next. */
  value?: Parameter | undefined
  /** Other words that can stand there. */
  others: readonly string[]
}

function wanted(commands: readonly Command[], before: readonly string[]): Wanted {
  if (before.length === 0) return { others: [...new Set(commands.map((each) => each.name.split(' ')[0]!))] }
  const verbs = commands.flatMap((each) => (each.name.startsWith(`${before[0]} `) ? [each.name.split(' ')[1]!] : []))
  if (verbs.length && before.length === 1) return { others: verbs }
  let found: { command: Command; rest: readonly string[] }
  try {
    found = findCommand(commands, before)
  } catch {
    return { others: [] }
  }
  const { command, rest } = found
  const known = parameters(command)
  const given = rest.filter((word, i) => !word.startsWith('-') && !isValue(known, rest[i - 1]))
  const last = known.find((each) => each.flag === rest.at(-1))
  if (last && last.type !== 'boolean') return { given, value: last, others: [] }
  const { positional = [] } = command
  const key = positional[Math.min(given.length, positional.length - 1)]
  const position = known.find((each) => each.key === key && (each.many || given.length < positional.length))
  const flags = known.filter((each) => !positional.includes(each.key) && each.key !== command.rest)
  return { given, value: position, others: [...flags.map((each) => each.flag), '--json', '--help'] }
}

function isValue(known: readonly Parameter[], before: string | undefined): boolean {
  return known.some((each) => each.flag === before && each.type !== 'boolean')
}

/** A caller limited to some VMs is offered only those and what belongs to them, and nothing of the rest of the box. */
async function valuesOf(
  { complete: kind, values }: Parameter,
  state: State,
  scope: Scope,
  vm: Vm | undefined,
  listening: (vm: Vm) => Promise<number[]>,
): Promise<readonly string[]> {
  if (values) return values
  const seen = vmsOf(state).filter((each) => maySee(scope, each))
  if (kind === 'vm') return seen.map(({ name }) => name)
  if (kind === 'tag') return [...new Set(seen.flatMap(({ tags }) => tags))].sort()
  if (kind === 'checkpoint') return vm ? checkpointsOf(state, vm).map(({ label }) => label) : []
  if (kind === 'port') {
    const { port = null, public: open = [] } = vm?.web ?? {}
    const ports = [...(port === null ? [] : [port]), ...open, ...(vm ? await listening(vm) : [])]
    return [...new Set(ports)].sort((a, b) => a - b).map(String)
  }
  if (seesSome(scope)) return []
  if (kind === 'image') return Object.values(state.images).flatMap((image) => (image.current ? image.name : []))
  if (kind === 'key') return Object.values(state.keys).map((key) => key.name)
  return []
}
