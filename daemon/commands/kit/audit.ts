import type { Entry, Note } from '../../activity/index.ts'
import type { Actor } from '../../core/access/principal.ts'
import { type Box, findVm } from '../../core/box.ts'
import { formatCommandLine } from '../../lib/command-line.ts'
import { asCroftError } from '../../lib/error.ts'
import type { State } from '../../store/index.ts'
import type { Command } from './command.ts'
import { type Parameter, parameters } from './line.ts'

/** Whether what it does is written into the activity log. */
const isNoted = ({ touches }: Command): boolean =>
  touches === 'changes' || touches === 'enters' || touches === 'destroys'

/** An entry of the activity log to be. */
export interface PendingEntry {
  /** It is written now: what goes on from here may last for hours. */
  now(): Promise<void>
  /** It is not written: what was asked for is not wanted after all. */
  drop(): void
}

/** Of what is not written down at all. */
const nothing: PendingEntry = { now: async () => {}, drop() {} }

/**
 * Does what a command is for, and writes it down: who, with which command line, and what came of it.
 * @param given its arguments as they came; contents of files may be among them
 */
export async function audited<R>(
  box: Box,
  actor: Actor,
  command: Command,
  given: Readonly<Record<string, unknown>>,
  work: (entering: PendingEntry) => Promise<R>,
): Promise<R> {
  if (!isNoted(command)) return work(nothing)
  const began = performance.now()
  const { state } = box.store
  const known = parameters(command)
  const before = vmsIn(state, known, given)
  let open = true
  const end = async (outcome: Pick<Note, 'result' | 'code' | 'says' | 'vms'>) => {
    if (!open) return
    open = false
    const what = commandLineOf(command, known, given)
    await box.activity.note({ ...actor, command: command.name, what, ms: performance.now() - began, ...outcome })
  }
  try {
    const result = await work({
      now: () => end({ vms: before }),
      drop() {
        open = false
      },
    })
    const exit = command.exitCode?.(result) ?? 0
    await end({ vms: [...before, ...vmMade(before, result)], says: exit === 0 ? null : `Its exit code was ${exit}.` })
    return result
  } catch (thrown) {
    const error = asCroftError(thrown)
    const hidden = known.some(({ key, file, secret }) => (file || secret) && given[key] !== undefined)
    await end({
      vms: before,
      result: error.code === 'not-allowed' ? 'refused' : 'failed',
      code: error.code,
      says: hidden ? unquoted(error.message) : error.message,
    })
    throw thrown
  }
}

/** The VMs that arguments name. */
function vmsIn(state: State, known: readonly Parameter[], given: Readonly<Record<string, unknown>>): Entry['vms'] {
  const names = known.flatMap(({ complete, key }) => (complete === 'vm' ? [given[key] ?? []].flat() : []))
  return names.flatMap((each) => {
    try {
      const { id, name } = findVm(state, String(each))
      return [{ id, name }]
    } catch {
      return []
    }
  })
}

/** The VM that a command has made, as its result says. Pure. */
function vmMade(before: Entry['vms'], result: unknown): Entry['vms'] {
  const { id, name } = (result ?? {}) as { id?: unknown; name?: unknown }
  const isOne = typeof id === 'string' && id.startsWith('vm_') && typeof name === 'string'
  return isOne && !before.some((each) => each.id === id) ? [{ id, name }] : []
}

/** The command line without contents of files, and of what may be secret with no more than what it is called. Pure. */
function commandLineOf(
  command: Command,
  known: readonly Parameter[],
  given: Readonly<Record<string, unknown>>,
): string {
  const shown = known.flatMap(({ key, secret }) => {
    const value = given[key]
    if (value === undefined) return []
    return [[key, !secret ? value : key === command.rest ? programIn(value) : [value].flat().map(nameIn)]]
  })
  const files = known.filter(({ file }) => file)
  const { name, positional = [], rest } = command
  // What is left out is to be seen as that: no quotes around it.
  return formatCommandLine(name, Object.fromEntries(shown), { positional, rest, files }).replace(
    /'([\w./=-]*…)'/g,
    '$1',
  )
}

/** `PORT=…` of a variable. */
const nameIn = (value: unknown): string => `${/^[A-Za-z_]\w{0,63}=/.exec(String(value))?.[0] ?? ''}…`

/** `tar …` of words for a shell: the program alone. */
function programIn(words: unknown): string[] {
  const all = [words].flat().map(String)
  const program = /^[\w./-]{1,40}(?=\s|$)/.exec(all[0] ?? '')?.[0]
  if (program === undefined) return all.length ? ['…'] : []
  return all.length === 1 && all[0] === program ? [program] : [program, '…']
}

/** What a message quotes may be a part of what is hidden. Pure. */
const unquoted = (message: string): string => message.replace(/"(?:[^"\\]|\\.)*"?/g, '“…”')
