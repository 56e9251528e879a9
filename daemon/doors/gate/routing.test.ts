import { describe, expect, test } from 'vitest'
import { hostName, parseHost } from './routing.ts'

describe('a host name', () => {
  test.each([
    ['web.localhost', { kind: 'vm', name: 'web', port: null }],
    ['WEB.LocalHost:8080', { kind: 'vm', name: 'web', port: null }],
    ['web-8080.localhost', { kind: 'vm', name: 'web', port: 8080 }],
    ['web.localhost.', { kind: 'vm', name: 'web', port: null }],
    ['web.localhost.:8080', { kind: 'vm', name: 'web', port: null }],
    ['quiet-otter-3000.localhost:80', { kind: 'vm', name: 'quiet-otter', port: 3000 }],
    ['croft.localhost:8080', { kind: 'croft' }],
  ])('%s leads to its target', (host, place) => {
    expect(parseHost(hostName(host), 'localhost')).toEqual(place)
  })

  test.each([
    'localhost',
    '.localhost',
    'a.b.localhost',
    'web-0.localhost',
    'web-65536.localhost',
    'web-080.localhost',
    'web-.localhost',
    '8080.localhost',
    'weblocalhost',
    'web.localhost.evil.example',
    'web.localhost..',
    'web_x.localhost',
    'web.localhost:99999999',
    '',
    '[::1]',
  ])('%s leads nowhere', (host) => {
    expect(parseHost(host, 'localhost')).toBeUndefined()
  })

  test('of another domain leads nowhere', () => {
    expect(parseHost('web.box.example.com', 'box.example.com')).toEqual({ kind: 'vm', name: 'web', port: null })
    expect(parseHost('web.localhost', 'box.example.com')).toBeUndefined()
  })
})
