import { upgradeWebSocket, type WebSocketLike } from '@hono/node-server'
import type { Context, Hono } from 'hono'
import type { WSContext } from 'hono/ws'
import { z } from 'zod'
import type { Terminal, Terminals } from '../../adapters/guest/terminals.ts'
import { checkScope } from '../../commands/kit/scope.ts'
import type { AppContext } from '../../commands/kit/serve.ts'
import type { Actor } from '../../core/access/principal.ts'
import { watchRights } from '../../core/access/rights.ts'
import { findVm } from '../../core/box.ts'
import { asCroftError, CroftError } from '../../lib/error.ts'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'
import type { HttpEnv } from './listener.ts'

const size = z.object({
  columns: z.coerce.number().int().min(2).max(1000).default(80),
  rows: z.coerce.number().int().min(2).max(1000).default(24),
})
const query = size.extend({ vm: z.string(), id: z.string().optional() })

/** How much output may be queued for a viewer that does not read before it is disconnected, in bytes. */
const mostWaiting = 2 * 1024 * 1024

/** The most that may be typed or pasted in one message, in bytes. */
const mostTyped = 256 * 1024

/**
 * Serves terminals in VMs, to callers that may run `ssh` into the VM.
 *
 * `GET /api/terminals?vm=web` lists the open terminals. `GET /api/terminal?vm=web&columns=80&rows=24` as a WebSocket
 * starts a terminal; with `id=…` it shows an open terminal, beginning with its recent output, or starts a new one if
 * that terminal has ended. Binary messages carry input and output. Text messages are JSON: the client receives
 * `{"id":"trm_…"}` first, or `{"problem":{…}}` when there is no terminal, and `{"ended":true}` at the end; it sends
 * `{"columns":80,"rows":24}` when its size changes.
 */
export function terminalRoutes(
  http: Hono<HttpEnv>,
  app: AppContext,
  terminals: Terminals,
  isStillIn: (c: Context) => boolean,
): void {
  const check = (c: Context<HttpEnv>, vm: string) => {
    const ssh = app.commands.find(({ name }) => name === 'ssh')!
    checkScope(c.var.actor.by.scope, ssh, { vm }, app.box.store.state)
  }
  http.get('/api/terminals', (c) => {
    const name = c.req.query('vm') ?? ''
    check(c, name)
    const open = terminals.of(findVm(app.box.store.state, name))
    return c.json({
      terminals: open.map(({ id, startedAt, viewers }) => ({ id, startedAt: startedAt.toISOString(), viewers })),
    })
  })
  http.get(
    '/api/terminal',
    async (c, next) => {
      if (c.req.header('upgrade')?.toLowerCase() !== 'websocket')
        throw new CroftError('misuse', 'A terminal must be opened as a WebSocket.')
      check(c, c.req.query('vm') ?? '')
      return next()
    },
    upgradeWebSocket((c: Context<HttpEnv>) => {
      const wanted = query.safeParse(c.req.query())
      let terminal: Terminal | undefined
      let leave = () => {}
      let gone = false
      let unwatch = () => {}
      return {
        onOpen: async (_, socket) => {
          const tell = (words: object) => socket.send(JSON.stringify(words))
          unwatch = watchRights(app.box.store, () => {
            if (!isStillIn(c)) socket.close(1008)
          })
          try {
            if (!wanted.success)
              throw new CroftError(
                'bad-value',
                'The size of the terminal must be 2 to 1000 columns and 2 to 1000 rows.',
              )
            terminal = await openFor(app, terminals, wanted.data, c.get('actor'))
            if (gone) return
            tell({ id: terminal.id })
            leave = terminal.watch({
              show: (output) => show(socket, output),
              end: () => {
                tell({ ended: true })
                socket.close(1000)
              },
            })
          } catch (error) {
            const { code, message, hint } = asCroftError(error)
            tell({ problem: { code, detail: message, hint } })
            socket.close(1000)
          }
        },
        onMessage: ({ data }, socket) => {
          const length = typeof data === 'string' ? data.length : (data as ArrayBuffer).byteLength
          if (length > mostTyped) return socket.close(1009)
          if (typeof data !== 'string') {
            if (data instanceof ArrayBuffer) terminal?.write(new Uint8Array(data))
            return
          }
          const asked = sizeIn(data)
          if (asked) terminal?.resize(asked)
        },
        onClose: () => {
          gone = true
          unwatch()
          leave()
        },
        onError: () => leave(),
      }
    }),
  )
}

async function openFor(
  { box }: AppContext,
  terminals: Terminals,
  { vm: name, id, ...at }: z.output<typeof query>,
  actor: Actor,
): Promise<Terminal> {
  const open = id === undefined ? undefined : terminals.find(id)
  const vm = findVm(box.store.state, name)
  if (open?.vm !== vm.id) {
    const note = { ...actor, what: 'opened a terminal', vms: [{ id: vm.id, name: vm.name }] }
    return box.activity.during(note, terminals.start(name, at))
  }
  open.resize(at)
  return open
}

function show(socket: WSContext<WebSocketLike>, output: Uint8Array): void {
  const raw = socket.raw as (WebSocketLike & { bufferedAmount?: number }) | undefined
  if ((raw?.bufferedAmount ?? 0) > mostWaiting) socket.close(1013)
  else socket.send(output as Uint8Array<ArrayBuffer>)
}

function sizeIn(text: string): TerminalSize | undefined {
  try {
    return size.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}
