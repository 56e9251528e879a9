import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openStore, type State } from './index.ts'
import { migrate } from './migrations.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'croft-store-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const withBoot = (bootId: string) => (state: import('./index.ts').State) => ({ ...state, bootId })

describe('store', () => {
  test('keeps what was written, in a file that only its owner can read', async () => {
    const store = await openStore(folder)
    await store.update(withBoot('first'))
    await store.close()
    expect((await stat(join(folder, 'state.json'))).mode & 0o777).toBe(0o600)

    const again = await openStore(folder)
    expect(again.state.bootId).toBe('first')
    await again.close()
  })

  test('shows a change immediately and shares one write among changes made together', async () => {
    const store = await openStore(folder)
    const writes = Array.from({ length: 500 }, (_, i) => store.update(withBoot(`boot ${i}`)))
    expect(store.state.bootId).toBe('boot 499')
    await Promise.all(writes)
    expect(JSON.parse(await readFile(join(folder, 'state.json'), 'utf8')).bootId).toBe('boot 499')
    await store.close()
  })

  test('has nothing under a name that nobody gave, even after a change and when read again', async () => {
    const has = (state: State) =>
      [state.vms, state.tokens, state.keys].flatMap((record) =>
        ['constructor', 'toString', '__proto__'].map((name) => record[name]),
      )
    const store = await openStore(folder)
    expect(has(store.state).filter(Boolean)).toEqual([])
    await store.update((state) => ({ ...state, vms: { ...state.vms }, tokens: { ...state.tokens } }))
    expect(has(store.state).filter(Boolean)).toEqual([])
    await store.close()
    const again = await openStore(folder)
    expect(has(again.state).filter(Boolean)).toEqual([])
    await again.close()
  })

  test('a change that throws changes nothing', async () => {
    const store = await openStore(folder)
    await expect(
      store.update(() => {
        throw new Error('no')
      }),
    ).rejects.toThrow('no')
    await store.update(withBoot('fine'))
    expect(store.state.bootId).toBe('fine')
    await store.close()
  })

  test('rolls back changes that could not be written, and works again afterwards', async () => {
    const store = await openStore(folder)
    await store.update(withBoot('safe'))
    await rm(folder, { recursive: true })
    const first = store.update(withBoot('lost'))
    const second = store.update(withBoot('lost too'))
    await expect(first).rejects.toThrow('ENOENT')
    await expect(second).rejects.toThrow('ENOENT')
    expect(store.state.bootId).toBe('safe')
    await mkdir(folder)
    await store.update(withBoot('back'))
    await store.close()
  })

  test('reports each change that readers see, and each rollback', async () => {
    const store = await openStore(folder)
    await store.update(withBoot('first'))
    const seen: string[] = []
    const unwatch = store.watch((before) => seen.push(`${before.bootId} → ${store.state.bootId}`))
    await store.update(withBoot('second'))
    await store.update((state) => state)
    await rm(folder, { recursive: true })
    await expect(store.update(withBoot('lost'))).rejects.toThrow('ENOENT')
    await mkdir(folder)
    unwatch()
    await store.update(withBoot('unseen'))
    expect(seen).toEqual(['first → second', 'second → lost', 'lost → second'])
    await store.close()
  })

  test('refuses a second daemon on the same folder, and admits it when the first has gone', async () => {
    const first = await openStore(folder)
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'conflict' })
    await first.close()
    const second = await openStore(folder)
    await second.close()
  }, 15_000)

  test.each([
    ['truncated', (text: string) => text.slice(0, text.length / 2)],
    ['empty', () => ''],
    ['not JSON', () => 'hello'],
    ['damaged by hand', (text: string) => text.replace('"vms":{}', '"vms":[]')],
    ['from a newer Croft', (text: string) => text.replace(/"version":\d+/, '"version":99')],
  ])('refuses a file that is %s, names the last good copy, and changes nothing', async (_, damage) => {
    const store = await openStore(folder)
    await store.update(withBoot('one'))
    await store.update(withBoot('two'))
    await store.close()
    const path = join(folder, 'state.json')
    const damaged = damage(await readFile(path, 'utf8'))
    await writeFile(path, damaged)
    await expect(openStore(folder)).rejects.toMatchObject({
      code: 'state-damaged',
      hint: expect.stringContaining(join(folder, 'state.json.last')),
    })
    expect(await readFile(path, 'utf8')).toBe(damaged)
    expect(JSON.parse(await readFile(`${path}.last`, 'utf8')).bootId).toBe('one')
  })

  test('refuses to start empty when the file has vanished but its copy has not', async () => {
    const store = await openStore(folder)
    await store.update(withBoot('one'))
    await store.update(withBoot('two'))
    await store.close()
    await rm(join(folder, 'state.json'))
    await expect(openStore(folder)).rejects.toMatchObject({ code: 'state-damaged' })
  })
})

test('killed at random during 1,000 writes, the file is always the old or the new state', async () => {
  const writer = new URL('./fixtures/endless-writer.ts', import.meta.url)
  let seen = 0
  for (let round = 0; seen < 1000; round++) {
    const child = fork(writer, [folder], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    let acknowledged = -1
    const target = 40 + ((round * 37) % 90)
    child.on('message', (n: number) => {
      acknowledged = n
      if (n % 200 >= target) child.kill('SIGKILL')
    })
    await once(child, 'exit')
    seen += Math.max(1, acknowledged % 200)
    const state = JSON.parse(await readFile(join(folder, 'state.json'), 'utf8'))
    expect(Number(state.bootId)).toBeGreaterThanOrEqual(acknowledged)
    expect(state.instance).toHaveLength(16)
  }
  const strays = (await readdir(folder)).filter((name) => !/^(lock|state\.json(\.last)?(\.new)?)$/.test(name))
  expect(strays).toEqual([])
}, 60_000)

describe('migrations', () => {
  test('1 to 9 gives VMs a private web address on localhost, normal priority, no limits, no restarts, kept appointments and no memory base, has none doze or backed up, leaves KSM off, and lets keys enter all of them', () => {
    const keys = { 'SHA256:a': { name: 'laptop' } }
    const memories = { mem_a: { id: 'mem_a' } }
    const operations = { op_a: { kind: 'sleep', memory: { id: 'mem_b' } }, op_b: { kind: 'compress', memory: 'mem_a' } }
    expect(migrate({ version: 1, vms: { vm_a: { name: 'web' } }, keys, memories, operations })).toEqual({
      version: 9,
      backups: { plan: null, vms: {}, box: null },
      memories: { mem_a: { id: 'mem_a', base: null } },
      memoryBases: {},
      memoryLayers: null,
      operations: {
        op_a: { kind: 'sleep', memory: { id: 'mem_b', base: null } },
        op_b: { kind: 'compress', memory: 'mem_a' },
      },
      keys: { 'SHA256:a': { name: 'laptop', vm: null, tag: null, authority: false } },
      vms: {
        vm_a: {
          name: 'web',
          web: { port: null, public: [] },
          priority: 'normal',
          dozing: false,
          restart: 'never',
          appointment: null,
          keepsAppointments: true,
          rates: { cpuPercent: null, diskBytesPerS: null, netBitsPerS: null },
        },
      },
      sessions: {},
      links: {},
      tokens: {},
      web: { domain: 'localhost', tls: { mode: 'off' } },
      hosts: {},
      samePages: false,
    })
  })

  const steps = {
    1: (s: Record<string, unknown>) => ({ ...s, b: 2 }),
    2: (s: Record<string, unknown>) => ({ ...s, c: s.b }),
  }
  test('go one version at a time to the newest', () => {
    expect(migrate({ version: 1, a: 1 }, steps, 3)).toEqual({ version: 3, a: 1, b: 2, c: 2 })
  })
  test.each([[undefined], ['1'], [0], [4], [1.5]])('refuse version %s', (version) => {
    expect(() => migrate({ version }, steps, 3)).toThrow(RangeError)
  })
})

test('a process with nothing else to do lives until its lock is released', async () => {
  const program = new URL('./fixtures/take-and-release.ts', import.meta.url)
  const runs = Array.from({ length: 12 }, async (_, i) => {
    const child = fork(program, [join(folder, `lock-${i}`)], { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] })
    child.disconnect()
    const [said, [code]] = await Promise.all([text(child.stdout!), once(child, 'exit')])
    return [code, said]
  })
  expect(await Promise.all(runs)).toEqual(runs.map(() => [0, 'released']))
})
