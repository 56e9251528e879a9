import { Duplex } from 'node:stream'
import type { ServerChannel } from 'ssh2'
import { expect, test } from 'vitest'
import { Tty } from './tty.ts'

/** A client's channel whose output is discarded. */
function channelOf(): Duplex {
  return new Duplex({ read() {}, write: (_, __, done) => done() })
}

const ttyOf = (channel: Duplex) =>
  new Tty(channel as unknown as ServerChannel, { columns: 80, rows: 24 }, [], async () => ({ hits: [], begun: '' }))

test('input typed while a command runs, and the end of input, are handled after the command', async () => {
  const channel = channelOf()
  const tty = ttyOf(channel)
  await tty.whileBusy(
    () => {},
    () => false,
    () => {
      channel.push('exit\n')
      channel.push(null)
      return new Promise<void>((resolve) => channel.once('end', resolve))
    },
  )
  expect(await tty.line('> ', true)).toBe('exit')
  expect(await tty.line('> ', true)).toBeUndefined()
  tty.close()
})

test('a client that has ended its input answers a running command’s question with nothing', async () => {
  const channel = channelOf()
  const tty = ttyOf(channel)
  const answer = tty.whileBusy(
    () => {},
    () => false,
    () => {
      channel.push(null)
      return new Promise<string>((resolve) => channel.once('end', () => resolve(tty.ask('sure? '))))
    },
  )
  expect(await answer).toBe('')
  tty.close()
})
