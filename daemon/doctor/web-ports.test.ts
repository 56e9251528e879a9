import { expect, test } from 'vitest'
import { choosePort, choosePorts, described, holdersOf, type PortHolder, parseListeners } from './web-ports.ts'

const said = `LISTEN 0      511          0.0.0.0:80        0.0.0.0:*    users:(("nginx",pid=12,fd=6),("nginx",pid=11,fd=6))
LISTEN 0      4096       127.0.0.53%lo:53        0.0.0.0:*    users:(("systemd-resolve",pid=300,fd=14))
LISTEN 0      128             [::]:443          [::]:*
LISTEN 0      4096               *:8080            *:*    users:(("my app",pid=7,fd=3))
`
const others = parseListeners(said)
const on = (...ports: number[]): PortHolder[] => ports.map((port) => ({ port, program: 'nginx', pid: 1 }))

test('the listeners are parsed from the output of ss', () => {
  expect(others).toEqual([
    { port: 80, program: 'nginx', pid: 12 },
    { port: 53, program: 'systemd-resolve', pid: 300 },
    { port: 443, program: undefined, pid: undefined },
    { port: 8080, program: 'my app', pid: 7 },
  ])
})

test('a sentence names the holder of each wanted port', () => {
  expect(holdersOf([80, 443], others).map(described)).toEqual([
    'Port 80 is in use by nginx (process 12)',
    'Port 443 is in use by something that the kernel does not name',
  ])
  expect(holdersOf([8000, 8443], others)).toEqual([])
})

test('ports that nobody holds are kept, and the others replaced', () => {
  expect(choosePorts({ http: 80, https: 443 }, [])).toEqual({ http: 80, https: 443 })
  expect(choosePorts({ http: 80, https: 443 }, on(80))).toEqual({ http: 8080, https: 443 })
  expect(choosePorts({ http: 80, https: 443 }, on(80, 443, 8080, 8443))).toEqual({ http: 8081, https: 8444 })
  expect(choosePorts({ http: 80, https: 443 }, on(80), [8080])).toEqual({ http: 8081, https: 443 })
})

test('the two are never the same', () => {
  expect(choosePorts({ http: 80, https: 8080 }, on(80))).toEqual({ http: 8081, https: 8080 })
  expect(choosePorts({ http: 8443, https: 443 }, on(443))).toEqual({ http: 8443, https: 8444 })
})

test('SSH gets the wanted port, or the next one that is free', () => {
  expect(choosePort(2222, [])).toBe(2222)
  expect(choosePort(2222, on(2222, 2223), [2224])).toBe(2225)
})
