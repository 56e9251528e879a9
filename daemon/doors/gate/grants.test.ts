import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { GrantCache, type Pass } from './grants.ts'

let folder: string
let passes: GrantCache
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'croft-passes-')), 'passes')
  passes = new GrantCache(folder)
  await passes.open(0)
})
afterEach(async () => {
  vi.useRealTimers()
  await rm(join(folder, '..'), { recursive: true })
})

const pass = (change: Partial<Pass> = {}): Pass => ({
  host: 'web.localhost',
  peer: 'tcp 192.0.2.1:1',
  token: 'abc',
  vm: 'vm_1',
  upstream: '10.77.0.2:80',
  grant: { host: 'web.localhost', digest: 'd' },
  ...change,
})

test('a pass is a folder with one file, which names the upstream', async () => {
  passes.give(pass())
  passes.give(pass({ peer: 'udp [2001:db8::1]:2', token: null }))
  expect((await readdir(folder)).sort()).toEqual([
    'owner~web.localhost~192.0.2.1:1~abc',
    'public~web.localhost~[2001:db8::1]:2',
  ])
  expect(await readdir(join(folder, 'owner~web.localhost~192.0.2.1:1~abc'))).toEqual(['10.77.0.2:80'])
})

test('a revoked pass is gone immediately, and can be given again', async () => {
  passes.give(pass())
  passes.give(pass({ vm: 'vm_2', token: 'other' }))
  passes.takeBack(({ vm }) => vm === 'vm_1')
  expect(await readdir(folder)).toEqual(['owner~web.localhost~192.0.2.1:1~other'])
  passes.give(pass({ upstream: '10.77.0.3:80' }))
  expect(await readdir(join(folder, 'owner~web.localhost~192.0.2.1:1~abc'))).toEqual(['10.77.0.3:80'])
})

test('each lasts 10 s', async () => {
  vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] })
  passes.give(pass())
  vi.advanceTimersByTime(6_000)
  passes.give(pass({ token: 'later' }))
  vi.advanceTimersByTime(5_000)
  expect(await readdir(folder)).toEqual(['owner~web.localhost~192.0.2.1:1~later'])
})

test('no pass is made outside the folder or with too long a name', async () => {
  passes.give(pass({ host: '../x' }))
  passes.give(pass({ token: 'a/b' }))
  passes.give(pass({ upstream: '../../x' }))
  passes.give(pass({ token: 'x'.repeat(250) }))
  expect(await readdir(folder)).toEqual([])
  expect(await readdir(join(folder, '..'))).toEqual(['passes'])
})

test('passes of an earlier daemon are removed', async () => {
  passes.give(pass())
  await new GrantCache(folder).open(0)
  expect(await readdir(folder)).toEqual([])
})
