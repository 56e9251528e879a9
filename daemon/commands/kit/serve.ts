import type { Actor } from '../../core/access/principal.ts'
import type { Box } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'
import type { Progress } from '../../core/interfaces/progress.ts'
import { asCroftError, CroftError, errorCodes } from '../../lib/error.ts'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'
import { describeCommand, printCommand } from '../box/help.ts'
import { asTyped, croftFrom } from './as-typed.ts'
import { audited, type PendingEntry } from './audit.ts'
import { checkArgs } from './check-args.ts'
import type { Command, Context, HandOff, Output, View } from './command.ts'
import { type ParsedLine, parseLine } from './line.ts'
import { checkScope } from './scope.ts'

export interface AppContext {
  commands: readonly Command[]
  box: Box
  host: Host
}

/** The source of a command line: the CLI, the lobby, or a program that sends a line of text. */
export interface Caller {
  stdin: AsyncIterable<Uint8Array> | undefined
  output: Output
  /** Undefined when the caller's output is not a terminal. */
  terminal: Pick<View, 'columns' | 'rows' | 'color'> | undefined
  /** The address of the box that an SSH client connected to. */
  reached?: string | undefined
  /** Whether it was typed at the lobby's prompt, where commands need no `ssh` in front. */
  atPrompt: boolean
  /** @param revocable whether the current work can be undone */
  progress(progress: Progress | undefined, revocable?: boolean): void
  /**
   * Shows a frame in place of the previous one, on a terminal that has `rows`. The caller sets the pace, so nothing is
   * measured for a caller that has disconnected or does not read.
   * @returns the size of the terminal when the caller wants the next frame, after `ms` or earlier
   * @throws CroftError `cancelled` when the caller has disconnected
   */
  show?: ((picture: string, ms: number) => Promise<TerminalSize>) | undefined
  /** Asks a question; absent when nobody can answer. */
  ask?: ((question: string) => Promise<boolean>) | undefined
  /** Returns the content of a file of the caller's; "-" is standard input. @throws CroftError */
  readFile(path: string): Promise<string>
  handOff?: HandOff | undefined
  /** Aborted when the caller asks to undo what has begun. */
  revoked?: AbortSignal | undefined
  /** The caller's current folder, if the caller is on this box. */
  cwd?: string | undefined
  signal: AbortSignal
  root: boolean
  actor: Actor
}

/**
 * Runs one command line from beginning to end, with everything around a command: files, questions, help, JSON, and
 * errors as sentences. @returns the exit code
 */
export async function serveLine(app: AppContext, words: readonly string[], caller: Caller): Promise<number> {
  const view: View = {
    columns: caller.terminal?.columns ?? 1000,
    color: caller.terminal?.color ?? false,
    croft: croftFrom(app.box, caller.atPrompt ? undefined : caller.reached),
    now: new Date(),
  }
  let line: ParsedLine | undefined
  try {
    line = parseLine(app.commands, words.length ? words : ['help'])
    if (line.help) {
      await caller.output.out(printCommand(describeCommand(line.command), view))
      return 0
    }
    return await runParsed(app, line, caller, view)
  } catch (thrown) {
    caller.progress(undefined)
    const error = asCroftError(thrown)
    const hint = error.hint && asTyped(error.hint, view.croft)
    if (error.code === 'internal')
      app.box.log.error({ err: thrown, words: words[0] }, 'a command failed in an unexpected way')
    const wantsJson = line?.json ?? words.includes('--json')
    if (wantsJson)
      await caller.output.err(`${JSON.stringify({ error: { code: error.code, message: error.message, hint } })}\n`)
    else await caller.output.err(`${[error.message, hint].filter(Boolean).join('\n')}\n`)
    return errorCodes[error.code].exit
  }
}

async function runParsed(app: AppContext, line: ParsedLine, caller: Caller, view: View): Promise<number> {
  const { command } = line
  const given = { ...line.args }
  for (const key of line.files) {
    const path = line.args[key]
    line.args[key] = Array.isArray(path)
      ? await Promise.all(path.map(caller.readFile))
      : await caller.readFile(String(path))
  }
  const args = checkArgs(command, line.args, 'line')
  const { handOff, show, terminal } = caller
  const run = () =>
    audited(app.box, caller.actor, command, given, async (entering) => {
      checkScope(caller.actor.by.scope, command, args, app.box.store.state)
      const asking = { ask: caller.ask, hint: 'Nobody is here to ask: add --yes.' }
      if (!line.yes) await confirm(app.box, command, args, entering, asking)
      return command.run(
        {
          ...app,
          report: (progress) => caller.progress(progress, command.revocable),
          signal: caller.signal,
          reached: caller.reached,
          cwd: caller.cwd,
          revoked: caller.revoked,
          root: caller.root,
          principal: caller.actor.by,
          stdin: caller.stdin,
          output: line.json ? undefined : caller.output,
          handOff: handOff && ((...what) => entering.now().then(() => handOff(...what))),
        },
        args,
      )
    })
  const ms = line.json || line.quiet ? undefined : command.refreshMs?.(args)
  if (ms !== undefined && show && terminal?.rows) {
    const picture = async (size: TerminalSize) => command.print(await run(), { ...view, ...size, now: new Date() })
    return showOn(picture, show, { columns: terminal.columns, rows: terminal.rows }, ms)
  }
  const result = await run()
  caller.progress(undefined)
  const text = line.json
    ? `${JSON.stringify(result, null, 2)}\n`
    : line.quiet && command.names
      ? command
          .names(result)
          .map((name) => `${name}\n`)
          .join('')
      : command.print(result, view)
  if (text) await caller.output.out(text)
  return command.exitCode?.(result) ?? 0
}

/** Renders frames, one after the other, until the caller disconnects. @throws CroftError `cancelled` then */
async function showOn(
  picture: (size: TerminalSize) => Promise<string>,
  show: NonNullable<Caller['show']>,
  first: TerminalSize,
  ms: number,
): Promise<never> {
  for (let size = first; ; ) size = await show(await picture(size), ms)
}

/**
 * Asks for confirmation, if the command needs it.
 * @throws CroftError `cancelled` or `needs-confirmation` without a yes
 */
async function confirm(
  box: Box,
  command: Command,
  args: Record<string, unknown>,
  entering: PendingEntry,
  { ask, hint }: Pick<Caller, 'ask'> & { hint: string },
): Promise<void> {
  const question = await command.confirm?.(box, args)
  if (!question || (await ask?.(question))) return
  entering.drop()
  if (ask) throw new CroftError('cancelled', 'Nothing was done.')
  throw new CroftError('needs-confirmation', question, { hint })
}

/** Runs a command given by its slug, with arguments from JSON. @throws CroftError */
export async function serveCall(
  app: AppContext,
  slug: string,
  body: Record<string, unknown>,
  { actor, ...caller }: Pick<Context, 'report' | 'signal'> & Pick<Caller, 'actor'>,
): Promise<unknown> {
  const command = app.commands.find((each) => each.name.replaceAll(' ', '-') === slug)
  if (!command)
    throw new CroftError('not-found', `There is no command ${JSON.stringify(slug.slice(0, 40))}.`, {
      hint: 'GET /api/openapi.json lists them all.',
    })
  const { yes, ...given } = body
  const args = checkArgs(command, given, 'json')
  return audited(app.box, actor, command, given, async (entering) => {
    checkScope(actor.by.scope, command, args, app.box.store.state)
    if (yes !== true) await confirm(app.box, command, args, entering, { hint: 'Send "yes": true to do it.' })
    return command.run({ ...app, ...caller, principal: actor.by, root: false }, args)
  })
}
