import { expect, test } from 'vitest'
import { OpenConnections } from './connections.ts'

const grant = (digest: string | null) => ({ host: 'web.localhost', digest })

test('a connection ends when one of its grants does', () => {
  const connections = new OpenConnections()
  connections.note('tcp 192.0.2.1:1', grant('a'))
  connections.note('tcp 192.0.2.1:1', grant('b'))
  connections.note('tcp 192.0.2.2:1', grant('b'))
  connections.note('udp 192.0.2.3:1', grant(null))
  expect(connections.takeOver(() => true)).toEqual([])
  expect(connections.takeOver(({ digest }) => digest !== 'a')).toEqual(['tcp 192.0.2.1:1'])
  expect(connections.takeOver(({ digest }) => digest !== null)).toEqual(['udp 192.0.2.3:1'])
  expect(connections.takeOver(() => false)).toEqual(['tcp 192.0.2.2:1'])
})

test('the grants of earlier connections are unknown until their next request', () => {
  const connections = new OpenConnections(['tcp 192.0.2.1:1', 'tcp 192.0.2.2:1'])
  connections.note('tcp 192.0.2.1:1', grant('a'))
  expect(connections.takeUnknown()).toEqual(['tcp 192.0.2.2:1'])
  expect(connections.takeUnknown()).toEqual([])
})

test('closed ones are forgotten', () => {
  const connections = new OpenConnections()
  connections.note('tcp 192.0.2.1:1', grant('a'))
  connections.note('tcp 192.0.2.2:1', grant('a'))
  connections.forgetClosed(new Set(['tcp 192.0.2.2:1']))
  expect(connections.takeOver(() => false)).toEqual(['tcp 192.0.2.2:1'])
})

test('closed connections are looked for from a thousand on, and then whenever the number has doubled', () => {
  const connections = new OpenConnections()
  const open = new Set<`tcp ${string}`>()
  let count = 0
  const come = (many: number, stay: boolean) => {
    for (let i = 0; i < many; i++) {
      const peer = `tcp 192.0.2.1:${count++}` as const
      connections.note(peer, grant(null))
      if (stay) open.add(peer)
    }
  }
  let told = 0
  connections.onCrowded = () => told++
  come(1000, false)
  expect(told).toBe(0)
  come(1500, true)
  expect(told).toBe(1500)
  connections.forgetClosed(open)
  come(1500, false)
  expect(told).toBe(1500)
  come(1, false)
  expect(told).toBe(1501)
  connections.forgetClosed(open)
  expect(connections.takeOver(() => false)).toHaveLength(1500)
})
