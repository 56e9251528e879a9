import type { z } from 'zod'
import type { Principal } from '../../core/access/principal.ts'
import type { Box, Report } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'

/** How output looks at the caller's end. */
export interface View {
  columns: number
  /** Number of lines that fit; absent where output scrolls. */
  rows?: number | undefined
  color: boolean
  /** How the caller begins a Croft command: `croft`, or `ssh -p 2222 croft@box.example.com`. */
  croft: string
  /** The time that ages are relative to. */
  now: Date
}

/** Where a command streams its output. A resolved promise means that it can write more (backpressure). */
export interface Output {
  out(chunk: Uint8Array | string): Promise<void>
  err(chunk: Uint8Array | string): Promise<void>
}

/**
 * Asks the caller to run a program that enters a VM.
 * @param enters the VM's name, and which of the arguments are the caller's own words, for callers with another way in
 * @returns the exit code of the program
 */
export type HandOff = (
  program: string,
  args: readonly string[],
  enters: { vm: string; words: readonly string[] },
) => Promise<number>

export interface Context {
  /** All commands, including this one. */
  commands: readonly Command[]
  box: Box
  host: Host
  report: Report
  /** Aborted when the caller disconnects. A command that changes the box continues regardless. */
  signal: AbortSignal
  /** The caller's standard input, if there is one. */
  stdin?: AsyncIterable<Uint8Array> | undefined
  /** Absent when the caller wants a single answer at the end. */
  output?: Output | undefined
  /** Absent where the caller has no terminal. */
  handOff?: HandOff | undefined
  /** Aborted when the caller asks to undo what has begun, which only `revocable` commands support. */
  revoked?: AbortSignal | undefined
  /** The caller's current folder, if the caller is on this box. */
  cwd?: string | undefined
  /** The address of the box that the caller's SSH client connected to. */
  reached?: string | undefined
  /** Whether the caller can read files that only root can. */
  root: boolean
  /** The caller. A command that lists VMs shows only those that `maySee` allows in the caller's scope. */
  principal: Principal
}

/**
 * A command, declared once and served everywhere: command line, lobby, HTTP, OpenAPI, completion, help.
 * The schema of its arguments is the single source of names, types and descriptions. Its `meta` may have
 * - `placeholder`: name of the value in help
 * - `complete`: what the value names ('vm', 'image', …), so that a shell can complete it
 * - `file: true`: on a command line the value is a path, and the argument is the content of that file
 * - `literal`, with `file`: prefix of values that are not paths
 * - `path: true`: the argument is the path itself, of a file of the caller's
 * - `options: true`, of `rest`: its words are flags of another program
 * - `secret: true`: the value may be confidential, so the activity log records only its name
 */
export interface Command<A extends z.ZodObject = z.ZodObject, R = unknown> {
  name: string
  summary: string
  /** The heading under which help lists it, set by `commands/index.ts`. Commands without one are not for people. */
  group?: string
  /** Further text for the help page: what a newcomer should know. */
  details?: string
  examples: readonly string[]
  args: A
  /** The positional arguments, in order. */
  positional?: readonly (keyof z.input<A> & string)[]
  /** The argument that takes all words from the first that is not a flag of Croft's, or from `--`. */
  rest?: keyof z.input<A> & string
  /** One-letter flags. */
  short?: Partial<Record<keyof z.input<A> & string, string>>
  result: z.ZodType<R>
  /** Ctrl-C undoes what the command has begun. Other commands continue after Ctrl-C. */
  revocable?: true
  /**
   * What it does to the box, at most:
   * - `nothing`: says what is no secret, or only something of the caller; anyone may run it, whatever their scope
   * - `reads`: shows something of the box or its VMs
   * - `changes`, `destroys`: changes the box or a VM; `destroys` where something can be lost
   * - `enters`: runs something inside a VM
   * The last three are recorded in the activity log. A caller limited to some VMs may run a command only for those, and
   * one that names no VM only if it `listsVms`.
   */
  touches: 'nothing' | 'reads' | 'changes' | 'enters' | 'destroys'
  /** It shows many VMs, and to a caller limited to some VMs only those. */
  listsVms?: true
  /**
   * It could give someone more than the caller has, so not every caller may run it: `access` lets someone in, and is denied
   * to a caller limited in any way; `membership` changes which VMs a limit covers, and is denied to one limited to some VMs.
   */
  grants?: 'access' | 'membership'
  /** Returns a question that names what will be lost: asked on a terminal, answered elsewhere by --yes (HTTP: `yes`). */
  confirm?(box: Box, args: z.output<A>): Promise<string | undefined>
  run(context: Context, args: z.output<A>): Promise<R>
  /**
   * For a read-only command that refreshes until the caller quits: returns the interval in ms. On a terminal each
   * output replaces the previous one; elsewhere the command runs once.
   */
  refreshMs?(args: z.output<A>): number
  /** Formats the result as lines for a person. */
  print(result: R, view: View): string
  /** Returns the names in the result, for -q. */
  names?(result: R): string[]
  exitCode?(result: R): number
}

/** Declares a command, with types inferred from its schemas. */
export function command<A extends z.ZodObject, R>(declaration: Command<A, R>): Command {
  return declaration as unknown as Command
}

/** Returns the command's name as one word, for URLs and file names: `image-build`. */
export const slug = (command: Pick<Command, 'name'>): string => command.name.replaceAll(' ', '-')
