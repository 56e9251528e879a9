import { expect, test } from 'vitest'
import { mainPort, parseListening } from './listening.ts'

const header = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const line = (address: string, port: number, state = '0A') =>
  `   0: ${address}:${port.toString(16).toUpperCase().padStart(4, '0')} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 12345 1\n`
const [any, any6] = ['00000000', '0'.repeat(32)]
const [loopback, loopback6] = ['0100007F', `${'0'.repeat(24)}01000000`]

test('parses ports, and whether they can be reached', () => {
  const text =
    header + line(any, 8000) + line(loopback, 5432) + line(any, 22) + line(loopback, 53) + header + line(any6, 3000)
  expect(parseListening(text)).toEqual([
    { port: 3000, loopback: false },
    { port: 5432, loopback: true },
    { port: 8000, loopback: false },
  ])
})

test('a port that listens on both can be reached, in either order', () => {
  for (const text of [line(loopback, 80) + line(any6, 80), line(any6, 80) + line(loopback, 80)]) {
    expect(parseListening(text)).toEqual([{ port: 80, loopback: false }])
  }
  expect(parseListening(line(loopback6, 80))).toEqual([{ port: 80, loopback: true }])
})

test('ignores connections and garbage', () => {
  const text = `${line(any, 8000, '01')}\u001b[31m rubbish\n   0: ZZ:1F40 00000000:0000 0A \n${'x'.repeat(1e5)}`
  expect(parseListening(text)).toEqual([])
})

test('the main port is one that the image names, else a usual one, else the lowest', () => {
  const on = (...ports: number[]) => ports.map((port) => ({ port, loopback: false }))
  expect(mainPort(on(1234, 3000, 8080))).toBe(8080)
  expect(mainPort(on(5000, 1234))).toBe(1234)
  expect(mainPort(on(80, 9000), [9000])).toBe(9000)
  expect(mainPort([{ port: 80, loopback: true }])).toBeUndefined()
  expect(mainPort(on(5432, 9000))).toBe(9000)
  expect(mainPort(on(5432))).toBeUndefined()
})
