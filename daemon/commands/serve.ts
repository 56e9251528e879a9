import type { Box } from '../box/box.ts'
import type { Host } from '../box/host.ts'
import type { Progress } from '../box/progress.ts'
import { asCroftError, CroftError, errorCodes } from '../error.ts'
import type { Command, Context, Output, View } from './command.ts'
import { describeCommand, printCommand } from './help.ts'
import { checkArgs, type ParsedLine, parseLine } from './line.ts'
import { checkScope, type Scope } from './scope.ts'

export interface App {
  commands: readonly Command[]
  box: Box
  host: Host
}

/** Somebody who types command lines: the CLI, the lobby, or a program that sends a line of text. */
export interface Caller {
  stdin: AsyncIterable<Uint8Array> | undefined
  output: Output
  /** Undefined when the caller's output is not a terminal. */
  terminal: { columns: number; color: boolean } | undefined
  progress(progress: Progress | undefined): void
  /** Asks a question; absent when nobody is there to answer. */
  ask?: ((question: string) => Promise<boolean>) | undefined
  /** The content of a file of the caller's; "-" is standard input. @throws CroftError */
  readFile(path: string): Promise<string>
  handOff?: ((program: string, args: readonly string[]) => Promise<number>) | undefined
  signal: AbortSignal
  root: boolean
  scope: Scope
}

/**
 * Runs one command line from beginning to end, with everything that goes around a command: files, questions, help,
 * JSON, errors as a sentence. @returns the exit code
 */
export async function serveLine(app: App, words: readonly string[], caller: Caller): Promise<number> {
  const view: View = {
    columns: caller.terminal?.columns ?? 1000,
    color: caller.terminal?.color ?? false,
    now: new Date(),
  }
  let line: ParsedLine | undefined
  try {
    line = parseLine(app.commands, words.length ? words : ['help'])
    if (line.help) {
      caller.output.out(printCommand(describeCommand(line.command), view))
      return 0
    }
    return await runParsed(app, line, caller, view)
  } catch (thrown) {
    caller.progress(undefined)
    const error = asCroftError(thrown)
    if (error.code === 'internal')
      app.box.log.error({ err: thrown, words: words[0] }, 'a command failed in an unexpected way')
    const wantsJson = line?.json ?? words.includes('--json')
    if (wantsJson)
      caller.output.err(
        `${JSON.stringify({ error: { code: error.code, message: error.message, hint: error.hint } })}\n`,
      )
    else caller.output.err(`${[error.message, error.hint].filter(Boolean).join('\n')}\n`)
    return errorCodes[error.code].exit
  }
}

async function runParsed(app: App, line: ParsedLine, caller: Caller, view: View): Promise<number> {
  const { command } = line
  for (const key of line.files) {
    const path = line.args[key]
    line.args[key] = Array.isArray(path)
      ? await Promise.all(path.map(caller.readFile))
      : await caller.readFile(String(path))
  }
  const args = checkArgs(command, line.args)
  checkScope(caller.scope, command, args, app.box.store.state)
  const question = line.yes ? undefined : await command.confirm?.(app.box, args)
  if (question) {
    if (!caller.ask) {
      throw new CroftError('needs-confirmation', question, { hint: 'Nobody is here to ask: add --yes.' })
    }
    if (!(await caller.ask(question))) throw new CroftError('cancelled', 'Nothing was done.')
  }
  const result = await command.run(
    {
      ...app,
      report: caller.progress,
      signal: caller.signal,
      root: caller.root,
      scope: caller.scope,
      stdin: caller.stdin,
      output: line.json ? undefined : caller.output,
      handOff: caller.handOff,
    },
    args,
  )
  caller.progress(undefined)
  const text = line.json
    ? `${JSON.stringify(result, null, 2)}\n`
    : line.quiet && command.names
      ? command
          .names(result)
          .map((name) => `${name}\n`)
          .join('')
      : command.print(result, view)
  if (text) caller.output.out(text)
  return command.exitCode?.(result) ?? 0
}

/** Runs a command given by its slug and its arguments as JSON. @throws CroftError */
export async function serveCall(
  app: App,
  slug: string,
  body: Record<string, unknown>,
  caller: Pick<Context, 'report' | 'signal' | 'scope'>,
): Promise<unknown> {
  const command = app.commands.find((each) => each.name.replaceAll(' ', '-') === slug)
  if (!command)
    throw new CroftError('not-found', `There is no command ${JSON.stringify(slug.slice(0, 40))}.`, {
      hint: 'GET /api/openapi.json lists them all.',
    })
  const { yes, ...given } = body
  const args = checkArgs(command, given)
  checkScope(caller.scope, command, args, app.box.store.state)
  const question = yes === true ? undefined : await command.confirm?.(app.box, args)
  if (question) throw new CroftError('needs-confirmation', question, { hint: 'Send "yes": true to do it.' })
  return command.run({ ...app, ...caller, root: false }, args)
}
