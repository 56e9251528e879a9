import type { Logger } from 'pino'
import type { ClientChannel, PseudoTtyOptions, ServerChannel, Session } from 'ssh2'
import type { AuthenticatedClient } from './authentication.ts'
import { type Croftd, Refusal } from './croftd.ts'
import { type GuestRequest, joinSession, openSession } from './guest.ts'
import { type LobbyParts, type LobbyTerminal, lobbyLine, lobbyLineOnTty, lobbyPrompt, lobbyTty } from './lobby.ts'
import type { ConnectingClient } from './messages.ts'
import type { VmAccess } from './vm-access.ts'

/** The most that a session's environment may hold, in variables and in bytes. */
const mostVariables = 100
const mostEnvironment = 64 * 1024

/** What a client's sessions need. */
export interface SessionParts {
  readonly croftd: Croftd
  readonly log: Logger
  readonly vms: VmAccess
  authenticated(): AuthenticatedClient
  /** Lines that were typed in the lobby with this key. They are lost when the gateway ends. */
  historyOf(who: ConnectingClient): string[]
}

/** Listeners for what a client changes while its session runs. */
interface Changes {
  readonly onResize: Set<(size: PseudoTtyOptions) => void>
  readonly onSignal: Set<(name: string) => void>
}

/** Serves one session of a client: in the VM that it logged in to, or in the lobby. */
export function serveSession(parts: SessionParts, session: Session): void {
  const { permits } = parts.authenticated()
  let pty: PseudoTtyOptions | undefined
  let agent = false
  const env: Record<string, string> = {}
  const changes: Changes = { onResize: new Set(), onSignal: new Set() }
  const begin = (accept: () => ServerChannel, what: GuestRequest['what']) => {
    const channel = accept()
    channel.on('error', () => {})
    serve(parts, channel, { what, pty, env, agent }, changes).catch((error) => refuse(parts.log, channel, error))
  }
  session.on('pty', (accept, reject, { cols, rows, width, height, ...more }) => {
    if (!permits.pty) return reject?.()
    // `more` has `term`, which is missing from ssh2's types.
    pty = { ...more, cols: cols || 80, rows: rows || 24, width, height } as PseudoTtyOptions
    accept?.()
  })
  session.on('window-change', (accept, _, { cols, rows, width, height }) => {
    const size = { cols, rows, width, height }
    if (pty) Object.assign(pty, size)
    for (const each of changes.onResize) each(size)
    accept?.()
  })
  let room = mostEnvironment
  session.on('env', (accept, reject, { key, val }) => {
    room -= key.length + val.length
    if (Object.keys(env).length >= mostVariables || room < 0) return reject?.()
    env[key] = val
    accept?.()
  })
  session.on('signal', (accept, _, { name }) => {
    for (const each of changes.onSignal) each(name)
    accept?.()
  })
  session.on('auth-agent', (accept, reject) => {
    if (!permits.agent) return reject?.()
    agent = true
    accept?.()
  })
  session.on('shell', (accept) => begin(accept, { shell: true }))
  session.on('exec', (accept, _, { command }) => begin(accept, { exec: command }))
  session.on('subsystem', (accept, _, { name }) => begin(accept, { subsystem: name }))
}

async function serve(
  parts: SessionParts,
  channel: ServerChannel,
  wanted: GuestRequest,
  changes: Changes,
): Promise<void> {
  if (parts.authenticated().login?.to === 'lobby') return serveInLobby(parts, channel, wanted, changes)
  const inside = await parts.vms.openSession(wanted)
  changes.onResize.add(resizing(inside))
  changes.onSignal.add((name) => inside.signal(name))
  parts.vms.wakeFor(channel)
  joinSession(channel, inside)
}

async function serveInLobby(
  parts: SessionParts,
  channel: ServerChannel,
  wanted: GuestRequest,
  changes: Changes,
): Promise<void> {
  const { what, pty } = wanted
  const { who } = parts.authenticated()
  if ('subsystem' in what)
    throw new Refusal("The lobby doesn't accept files.", 'Name a VM: scp -P 2222 file web@box:', 1)
  const lobby: LobbyParts = {
    croftd: parts.croftd,
    who,
    history: parts.historyOf(who),
    enter: (on, vm, words) => enterFromLobby(parts.vms, on, vm, words, wanted, changes),
  }
  const finish = (code: number) => {
    channel.stderr.end(() => {
      channel.exit(code)
      channel.end()
    })
  }
  if (!pty && 'exec' in what) return finish(await lobbyLine(lobby, channel, what.exec))
  if (!pty) throw new Refusal('The lobby’s prompt needs a terminal.', 'Give it a command: ssh … ls', 2)
  const dumb = String(pty.term) === 'dumb'
  const terminal: LobbyTerminal = {
    size: { columns: pty.cols!, rows: pty.rows! },
    color: !('NO_COLOR' in wanted.env) && !dumb,
    dumb,
  }
  const tty = lobbyTty(lobby, channel, terminal)
  changes.onResize.add(({ cols, rows }) => tty.screen.resize({ columns: cols!, rows: rows! }))
  const code =
    'exec' in what ? await lobbyLineOnTty(lobby, tty, terminal, what.exec) : await lobbyPrompt(lobby, tty, terminal)
  tty.close()
  finish(code)
}

/** Runs `ssh web` typed in the lobby. @returns its exit code */
async function enterFromLobby(
  vms: VmAccess,
  channel: ServerChannel,
  vm: string,
  words: readonly string[],
  { pty, env, agent }: GuestRequest,
  { onResize }: Changes,
): Promise<number> {
  const [first] = words
  if (first?.startsWith('-')) {
    channel.write(`The lobby's ssh takes no flags. Use them with your own ssh: ssh ${vm}@…\r\n`)
    return 2
  }
  const guest = await vms.into(vm, undefined, true)
  try {
    const what = first === undefined ? { shell: true as const } : { exec: words.join(' ') }
    const inside = await openSession(guest, { what, pty, env, agent })
    const resize = resizing(inside)
    onResize.add(resize)
    vms.wakeFor(channel)
    const code = await new Promise<number>((resolve) => joinSession(channel, inside, resolve))
    onResize.delete(resize)
    return code
  } finally {
    guest.end()
  }
}

/** Tells the client on standard error why its session failed, and ends the session. */
function refuse(log: Logger, channel: ServerChannel, thrown: unknown): void {
  const known = thrown instanceof Refusal
  if (!known) log.error({ err: thrown }, 'a session failed in an unexpected way')
  const lines = known ? [thrown.message, thrown.hint] : ['Croft failed in a way it did not expect.']
  channel.stderr.write(`${lines.filter(Boolean).join('\r\n')}\r\n`, () => {
    channel.exit(known ? thrown.exit : 1)
    channel.end()
  })
}

/** Returns a listener that resizes a terminal in a VM to the client's size. */
const resizing =
  (inside: ClientChannel) =>
  ({ rows, cols, height, width }: PseudoTtyOptions): void =>
    inside.setWindow(rows!, cols!, height!, width!)
