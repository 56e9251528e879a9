import type { Entry, Note } from '../../activity/index.ts'
import type { Actor } from '../../core/access/principal.ts'
import { type Box, findVm } from '../../core/box.ts'
import { asCroftError } from '../../lib/error.ts'
import { formatCommandLine } from '../../lib/text/command-line.ts'
import type { State } from '../../store/index.ts'
import type { Command } from './command.ts'
import { type Parameter, parameters } from './line.ts'

/** Whether the activity log records a command. */
const isNoted = ({ touches }: Command): boolean =>
  touches === 'changes' || touches === 'enters' || touches === 'destroys'

/** An entry of the activity log that is not written yet. */
export interface PendingEntry {
  /** Writes the entry now, because the command may run for hours. */
  now(): Promise<void>
  /** Discards the entry: the caller changed their mind. */
  drop(): void
}

/** For commands that are not recorded. */
const nothing: PendingEntry = { now: async () => {}, drop() {} }

/**
 * Runs the work of a command and records it in the activity log: who ran it, the command line and the outcome.
 * @param given the arguments as received; they may include the contents of files
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

/** Returns the VMs that the arguments name. */
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

/** Returns the VM that a command created, according to its result. Pure. */
function vmMade(before: Entry['vms'], result: unknown): Entry['vms'] {
  const { id, name } = (result ?? {}) as { id?: unknown; name?: unknown }
  const isOne = typeof id === 'string' && id.startsWith('vm_') && typeof name === 'string'
  return isOne && !before.some((each) => each.id === id) ? [{ id, name }] : []
}

/** Formats the command line without the contents of files; of a secret argument it shows only the name. Pure. */
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
  // No quotes around an ellipsis: it marks an omission and is not part of the command.
  return formatCommandLine(name, Object.fromEntries(shown), { positional, rest, files }).replace(
    /'([\w./=-]*…)'/g,
    '$1',
  )
}

/** Shortens a variable to `PORT=…`. */
const nameIn = (value: unknown): string => `${/^[A-Za-z_]\w{0,63}=/.exec(String(value))?.[0] ?? ''}…`

/** Shortens the words for a shell to the program: `tar …`. */
function programIn(words: unknown): string[] {
  const all = [words].flat().map(String)
  const program = /^[\w./-]{1,40}(?=\s|$)/.exec(all[0] ?? '')?.[0]
  if (program === undefined) return all.length ? ['…'] : []
  return all.length === 1 && all[0] === program ? [program] : [program, '…']
}

/** Removes quotations from a message: they may repeat a hidden value. Pure. */
const unquoted = (message: string): string => message.replace(/"(?:[^"\\]|\\.)*"?/g, '“…”')
