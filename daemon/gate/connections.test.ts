import { expect, test } from 'vitest'
import { Connections } from './connections.ts'

const grant = (digest: string | null) => ({ host: 'web.localhost', digest })

test('a connection is over when one of the things that let it in is', () => {
  const connections = new Connections()
  connections.note('tcp 192.0.2.1:1', grant('a'))
  connections.note('tcp 192.0.2.1:1', grant('b'))
  connections.note('tcp 192.0.2.2:1', grant('b'))
  connections.note('udp 192.0.2.3:1', grant(null))
  expect(connections.takeOver(() => true)).toEqual([])
  expect(connections.takeOver(({ digest }) => digest !== 'a')).toEqual(['tcp 192.0.2.1:1'])
  expect(connections.takeOver(({ digest }) => digest !== null)).toEqual(['udp 192.0.2.3:1'])
  expect(connections.takeOver(() => false)).toEqual(['tcp 192.0.2.2:1'])
})

test('of those from before, nobody knows, until something is asked by them', () => {
  const connections = new Connections(['tcp 192.0.2.1:1', 'tcp 192.0.2.2:1'])
  connections.note('tcp 192.0.2.1:1', grant('a'))
  expect(connections.takeUnknown()).toEqual(['tcp 192.0.2.2:1'])
  expect(connections.takeUnknown()).toEqual([])
})

test('closed ones are forgotten', () => {
  const connections = new Connections()
  connections.note('tcp 192.0.2.1:1', grant('a'))
  connections.note('tcp 192.0.2.2:1', grant('a'))
  connections.forgetClosed(new Set(['tcp 192.0.2.2:1']))
  expect(connections.takeOver(() => false)).toEqual(['tcp 192.0.2.2:1'])
})
