import type { z } from 'zod'
import type { Principal } from '../../core/access/principal.ts'
import type { Box, Report } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'

/** How the caller's end looks. */
export interface View {
  columns: number
  /** How many lines there is room for; absent where more of them scroll by. */
  rows?: number | undefined
  color: boolean
  /** How a command of Croft begins where the caller is: `croft`, or `ssh -p 2222 croft@box.example.com`. */
  croft: string
  /** The moment that ages are counted from. */
  now: Date
}

/** Where a command that goes on talking while it runs says what it has to say: more of it once the promise resolves. */
export interface Output {
  out(chunk: Uint8Array | string): Promise<void>
  err(chunk: Uint8Array | string): Promise<void>
}

/**
 * Has the caller run a program that enters a VM.
 * @param enters the VM's name, and the words of the caller's own among the arguments: for who has another way there
 * @returns its exit code
 */
export type HandOff = (
  program: string,
  args: readonly string[],
  enters: { vm: string; words: readonly string[] },
) => Promise<number>

export interface Context {
  /** All commands, this one among them. */
  commands: readonly Command[]
  box: Box
  host: Host
  report: Report
  /** Aborted when the caller has gone. A command that changes the box goes on all the same. */
  signal: AbortSignal
  /** The caller's standard input, if there is one. */
  stdin?: AsyncIterable<Uint8Array> | undefined
  /** Absent when the caller wants one answer at the end. */
  output?: Output | undefined
  /** Has the caller run a program on his terminal; its exit code. Absent where there is no terminal. */
  handOff?: HandOff | undefined
  /** Aborted when the caller asks to take back what was begun, which only `revocable` commands do. */
  revoked?: AbortSignal | undefined
  /** The caller's current folder, if its files are on this box. */
  cwd?: string | undefined
  /** The address of the box that the caller's SSH client connected to. */
  reached?: string | undefined
  /** Whether the caller may read what only root may. */
  root: boolean
  /** Who asks: a command that shows many VMs shows those that `maySee` says of their scope. */
  principal: Principal
}

/**
 * A command, declared once and served everywhere: command line, lobby, HTTP, OpenAPI, completion, help.
 * Its arguments' schema is the one source of names, types and descriptions. In it, `meta` may have
 * - `placeholder`: how the value is called in help
 * - `complete`: what the value names ('vm', 'image', …), so that a shell can complete it
 * - `file: true`: on a command line the value is the path of a file, whose content is meant
 * - `literal`, with `file`: how a value begins that is not a path
 * - `path: true`: the path of a file of the caller's itself is meant
 * - `options: true`, of `rest`: its words are flags of another program
 * - `secret: true`: it may have what only its reader should know, so the activity log has no more of it than its name
 */
export interface Command<A extends z.ZodObject = z.ZodObject, R = unknown> {
  name: string
  summary: string
  /** The heading under which help lists it; `commands/index.ts` gives it. What has none is not for people. */
  group?: string
  /** More for its help page: what a newcomer should know. */
  details?: string
  examples: readonly string[]
  args: A
  /** The arguments given by position, in their order. */
  positional?: readonly (keyof z.input<A> & string)[]
  /** The argument that takes all words from the first that is no flag of ours, or from `--`. */
  rest?: keyof z.input<A> & string
  /** One-letter flags. */
  short?: Partial<Record<keyof z.input<A> & string, string>>
  result: z.ZodType<R>
  /** Ctrl-C takes back what it has begun. Of others it goes on. */
  revocable?: true
  /** What it may touch; tokens and keys are limited by this. */
  touches: 'nothing' | 'reads' | 'changes' | 'enters' | 'destroys'
  /** A question that names what is lost; asked on a terminal, and answered by --yes (HTTP: `yes`) elsewhere. */
  confirm?(box: Box, args: z.output<A>): Promise<string | undefined>
  run(context: Context, args: z.output<A>): Promise<R>
  /**
   * Of a command that goes on until it is left, and only reads: how long, in ms, until it is run again. On a terminal what
   * it prints then stands in the place of what it printed before; elsewhere it is run once.
   */
  refreshMs?(args: z.output<A>): number
  /** The result as lines for a person. */
  print(result: R, view: View): string
  /** The names in the result, for -q. */
  names?(result: R): string[]
  exitCode?(result: R): number
}

/** Declares a command, with its types inferred from its schemas. */
export function command<A extends z.ZodObject, R>(declaration: Command<A, R>): Command {
  return declaration as unknown as Command
}

/** The command's name as one word, for addresses and file names: `image-build`. */
export const slug = (command: Pick<Command, 'name'>): string => command.name.replaceAll(' ', '-')
