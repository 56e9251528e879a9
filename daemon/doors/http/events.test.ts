import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import { expect, onTestFinished, test } from 'vitest'
import type { AppContext } from '../../commands/kit/serve.ts'
import { EventLog } from '../../core/events.ts'
import { Live } from '../../core/live.ts'
import { emptyState } from '../../store/schema/state.ts'
import { eventsRoute } from './events.ts'

async function serve(events: EventLog) {
  const box = { events, live: new Live(), store: { state: emptyState('test'), watch: () => () => {} } }
  const site = new Hono().get('/', (c) => eventsRoute({ box } as unknown as AppContext, c, () => true))
  const server = createAdaptorServer({ fetch: site.fetch }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const client = (headers = '') => {
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => {})
    socket.write(`GET / HTTP/1.1\r\nHost: x\r\n${headers}\r\n`)
    onTestFinished(() => void socket.destroy())
    return socket
  }
  return { client, server }
}

test('a listener that does not read is disconnected', async () => {
  const events = new EventLog('run')
  const { client, server } = await serve(events)
  const connected = once(server, 'connection')
  const slow = client()
  const [connection] = await connected
  await once(slow, 'data')
  slow.pause()
  const ended = once(connection, 'close')
  for (let i = 0; !connection.destroyed && i < 100_000; i++) {
    events.publish({ type: 'box.warning', message: 'x'.repeat(300) })
    if (i % 100 === 0) await new Promise(setImmediate)
  }
  await ended
})

test('a listener that missed everything in the log gets all of it, and stays connected', async () => {
  const events = new EventLog('run')
  const { client } = await serve(events)
  for (let i = 0; i < 2000; i++) events.publish({ type: 'box.warning', message: `${i}` })
  const back = client('Last-Event-ID: run-0\r\n')
  let heard = ''
  back.on('data', (chunk) => (heard += chunk))
  await once(back, 'data')
  events.publish({ type: 'box.warning', message: 'the last' })
  while (!heard.includes('the last')) await once(back, 'data')
  expect(heard.match(/^event: box.warning/gm)).toHaveLength(2001)
  expect(back.closed).toBe(false)
})
