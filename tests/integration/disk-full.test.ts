import { mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Croft, type CroftOptions, cache, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { withoutBases } from '../lib/memory-base.ts'
import { must, program } from '../lib/program.ts'

/** A state folder on a file system of its own that can be filled to the last byte. */
let croft: Croft
let folder: string
let wholeBytes: number
async function startSmall(megabytes: number, options: Pick<CroftOptions, 'image' | 'recipes'>): Promise<void> {
  await must('mkdir', ['-p', '-m', '711', cache])
  folder = await mkdtemp(join(cache, 'full-'))
  wholeBytes = megabytes * MiB
  await must('mount', ['-t', 'tmpfs', '-o', `size=${wholeBytes},mode=711`, 'tmpfs', folder])
  croft = await startCroft({ folder, ...options })
}
async function remove(): Promise<void> {
  await croft?.[Symbol.asyncDispose]().catch(() => {})
  await program('umount', ['-l', folder])
  await rm(folder, { recursive: true, force: true })
}
const MiB = 2 ** 20
const wait = { timeout: 60_000, interval: 250 }

/** @param left MiB to leave free */
async function fill(left = 0): Promise<void> {
  const reserve = join(folder, 'reserve')
  if (left) await must('dd', ['if=/dev/zero', `of=${reserve}`, 'bs=1M', `count=${left}`])
  await program('dd', ['if=/dev/zero', `of=${join(folder, 'filler')}`, 'bs=4k'])
  await rm(reserve, { force: true })
}

/** Takes all room but so many bytes in one go, as another program could. Without a number, releases it. */
async function leave(bytes = Number.POSITIVE_INFINITY): Promise<void> {
  const { blocks, bavail, bsize } = await statfs(folder)
  const size = Math.min((blocks - bavail) * bsize + bytes, wholeBytes)
  await must('mount', ['-o', `remount,size=${size}`, folder])
}

describe('a full disk', () => {
  beforeAll(async () => {
    await startSmall(24, { recipes: join(import.meta.dirname, 'fixtures/recipes') })
    await croft.do('image', 'build', 'tiny')
  }, 120_000)
  afterAll(remove)

  test('a build that fills the disk is a clear error, and everything is put back', async () => {
    const before = await croft.state()
    const failed = await croft.run(['image', 'build', 'big'])
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
    expect(await croft.state()).toEqual(before)
    expect((await must('ls', [join(folder, 'building')])).trim()).toBe('')
  })

  test('a VM on a full disk is a clear error, and everything is put back', async () => {
    const before = await croft.state()
    await fill()
    const failed = await croft.run(['new', 'late', '--image', 'tiny', '--stopped'])
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
    await rm(join(folder, 'filler'))
    expect(await croft.run(['ls', '-q'])).toMatchObject({ code: 0, stdout: '' })
    expect((await program('ls', [join(folder, 'vms')])).stdout).toBe('')
    await croft.do('new', 'late', '--image', 'tiny', '--stopped')
    expect(Object.keys((await croft.state()).vms)).toHaveLength(Object.keys(before.vms).length + 1)
  })

  test('a change is still written, into room that is kept for it; without that room it does not happen', async () => {
    const reserve = join(folder, 'disk-reserve')
    const isWhole = () =>
      vi.waitFor(async () => expect((await stat(reserve)).size).toBe(Math.floor(24 * 2 ** 20 * 0.01)), {
        timeout: 20_000,
        interval: 250,
      })
    const comment = async () => (await croft.ask('show', { vm: 'late' })).comment
    await isWhole()
    const { size } = await stat(reserve)
    await fill()
    await croft.do('comment', 'late', 'x'.repeat(200))
    await croft.do('rm', 'late', '--yes')
    expect((await stat(reserve)).size).toBeLessThan(size)
    await rm(join(folder, 'filler'))
    await isWhole()
    await croft.do('new', 'late', '--image', 'tiny', '--stopped')
    await rm(reserve)
    await fill()
    const failed = await croft.run(['comment', 'late', 'y'.repeat(200)])
    await rm(join(folder, 'filler'))
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
    expect(await comment()).toBe('')
    await croft.do('comment', 'late', 'now it fits')
  })
})

/** Owner and mode of each layer's file. */
async function layerFiles(): Promise<Record<string, string>> {
  const names = await readdir(join(folder, 'layers'))
  const about = names.map(async (name) => {
    const { uid, mode } = await stat(join(folder, 'layers', name))
    return [name, `${uid} ${mode.toString(8)}`]
  })
  return Object.fromEntries(await Promise.all(about))
}

const doctor = async () => (await croft.run(['doctor'])).stdout

/**
 * Makes the merge that `begin` leads to run out of room halfway, and checks that it leaves everything as it was and is
 * done once there is room. @returns the merge
 */
async function runOutOfRoom(begin: () => Promise<unknown>, then: () => Promise<unknown> = async () => {}) {
  const files = await layerFiles()
  const mergeNow = async () => Object.values((await croft.state()).operations).find(({ kind }) => kind === 'merge')
  const begun = begin()
  const merge = await vi.waitUntil(mergeNow, { timeout: 60_000, interval: 1 })
  await leave(20 * MiB)
  await begun
  await vi.waitUntil(async () => !(await mergeNow()), wait)
  expect(await layerFiles()).toEqual(files)
  expect(await doctor()).toMatch(/✗ disk +[\d.]+ [kM]?B of .* free/)
  await then()
  await leave()
  await vi.waitUntil(async () => Object.keys(await layerFiles()).length < Object.keys(files).length, wait)
  return merge
}

describe('a disk that is full when memory is to be saved', () => {
  let boot: string
  const bootId = async () => {
    await croft.do('wake', 'late')
    return croft.peek('late', 'cat /proc/sys/kernel/random/boot_id')
  }
  beforeAll(async () => {
    await startSmall(2000, { image: 'bare' })
    await croft.do('new', 'late')
    boot = await bootId()
  }, 120_000)
  afterAll(remove)

  const ways: [string, ...string[]][] = [
    ['sleep', 'sleep', 'late'],
    ['checkpoint', 'checkpoint', 'late', 'more'],
    ['copy', 'cp', 'late', 'copy'],
  ]
  test.each(sample(ways, ways[0]!))('a %s is a clear error, and the VM runs on', async (_, ...words) => {
    await fill(40)
    const failed = await croft.run(words)
    await rm(join(folder, 'filler'))
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('disk of the box is full') })
    expect(await bootId()).toBe(boot)
    const { memories, layers, vms } = await croft.state()
    expect((await readdir(join(folder, 'memory'))).length).toBe(Object.keys(memories).length)
    expect((await readdir(join(folder, 'layers'))).length).toBe(Object.keys(layers).length)
    expect(Object.values(vms).map(({ name }) => name)).toEqual(['late'])
  })

  test('a VM that can’t write is paused, and resumes by itself when there is space, also after the daemon was killed', async () => {
    await fill(80)
    const written = croft.run([
      'exec',
      'late',
      'head -c 150M /dev/urandom > big; sync; sha256sum < big > sum; echo done',
    ])
    const state = async () => (await croft.ask('show', { vm: 'late' })).state
    await vi.waitFor(async () => expect(await state()).toBe('paused'), { timeout: 60_000, interval: 250 })
    await croft.kill('SIGKILL')
    await written
    await croft.start()
    expect(await state()).toBe('paused')
    await rm(join(folder, 'filler'))
    await vi.waitFor(async () => expect(await state()).toBe('awake'), { timeout: 20_000, interval: 250 })
    expect(await bootId()).toBe(boot)
    expect(
      await croft.do('exec', 'late', 'sha256sum < big | wc -c; dmesg 2> /dev/null | grep -c "I/O error" || true'),
    ).toMatch(/^68\n0?\n?$/)
    const { entries } = await croft.ask('activity')
    expect(entries.map((entry: any) => entry.what)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('was paused'),
        expect.stringContaining('was resumed'),
        expect.stringMatching(/^the disk of the box has .* free/),
      ]),
    )
    await croft.do('exec', 'late', 'rm big; sync; sudo fstrim /')
  })

  test('nothing is merged for which there is no room; it is, once there is', async () => {
    const write = (file: string, size: string) => `head -c ${size} /dev/urandom > ${file}; sync`
    await croft.do('exec', 'late', write('one', '60M'))
    await croft.do('checkpoint', 'late', 'first')
    await croft.do('exec', 'late', write('two', '60M'))
    await croft.do('checkpoint', 'late', 'second')
    await croft.do('exec', 'late', write('three', '200M'))
    // Compressed memory that is freed with the checkpoint is not enough room.
    await vi.waitFor(async () => {
      const { memories, checkpoints } = await croft.state()
      const saved = Object.values(checkpoints).flatMap(({ kind, memory }) =>
        kind === 'golden' ? [] : memories[memory ?? '']!,
      )
      expect(saved.map(({ file }) => file)).toEqual(saved.map(() => expect.stringMatching(/\.zst\.save$/)))
    }, wait)
    await fill(20)
    await croft.do('checkpoint', 'rm', 'late', 'second', '--yes')
    await vi.waitFor(async () => expect(await croft.log()).toContain('layers could not be merged'), wait)
    expect((await croft.state()).operations).toEqual({})
    expect((await croft.ask('show', { vm: 'late' })).state).toBe('awake')
    // Nor does a merge go on when there is no room any more.
    const merge = await runOutOfRoom(() => rm(join(folder, 'filler')))
    expect(merge).toMatchObject({ way: 'commit', above: null })
    await croft.do('checkpoint', 'rm', 'late', 'first', '--yes')
    expect(await bootId()).toBe(boot)
    await croft.do('exec', 'late', 'rm one two three; sync; sudo fstrim /')
  })

  test.runIf(deep)(
    'the same goes for every kind of merge, and a VM that writes meanwhile is paused and resumed',
    async () => {
      const write = (file: string) =>
        croft.do('exec', 'late', `head -c 150M /dev/urandom > ${file}; sync; sha256sum ${file}`)
      const remove = (checkpoint: string) => () => croft.do('checkpoint', 'rm', 'late', checkpoint, '--yes')
      await croft.do('checkpoint', 'late', 'one')
      const sums = [await write('big')]
      await croft.do('checkpoint', 'late', 'two')
      expect(await runOutOfRoom(remove('one'))).toMatchObject({ way: 'commit', above: expect.any(String) })
      sums.push(await write('bigger'))
      const more = croft.do('exec', 'late', 'head -c 100M /dev/urandom > more; sync; sha256sum more')
      const standsStill = () => vi.waitUntil(async () => (await doctor()).includes('paused: late'), wait)
      expect(await runOutOfRoom(remove('two'), standsStill)).toMatchObject({ way: 'commit', above: null })
      sums.push(await more)
      expect(await bootId()).toBe(boot)
      await croft.do('checkpoint', 'late', 'three')
      await croft.do('stop', 'late')
      await croft.do('checkpoint', 'late', 'four')
      expect(await runOutOfRoom(remove('three'))).toMatchObject({ way: 'copy' })
      expect(await runOutOfRoom(remove('four'))).toMatchObject({ way: 'rebase' })
      await croft.do('start', 'late')
      boot = await bootId()
      expect(await croft.do('exec', 'late', 'sha256sum big bigger more')).toBe(sums.join(''))
      await croft.do('exec', 'late', 'rm big bigger more; sync; sudo fstrim /')
    },
  )

  test('with room again, it sleeps', async () => {
    await croft.do('sleep', 'late')
    expect(await bootId()).toBe(boot)
  })
})

describe('a disk that is full when memory bases are to be made', () => {
  beforeAll(() => startSmall(2000, { image: 'bare' }), 120_000)
  afterAll(remove)

  const operation = (kind: string) =>
    vi.waitUntil(async () => Object.values((await croft.state()).operations).find((each) => each.kind === kind), {
      timeout: 60_000,
      interval: 1,
    })
  const over = () => vi.waitUntil(async () => Object.keys((await croft.state()).operations).length === 0, wait)
  /** Checks that there are just the files of so many bases, and of the memory that has a record. */
  const expectFiles = async (bases: number) => {
    await over()
    const { memories, memoryBases } = await croft.state()
    const all = Object.values(memoryBases)
    expect(all).toHaveLength(bases)
    const wanted = [...all, ...Object.values(memories)].map(({ file }) => file)
    const rests = all.flatMap(({ rest }) => rest ?? [])
    const found = ['bases', 'memory'].map(async (name) =>
      (await readdir(join(folder, name))).map((file) => join(name, file)),
    )
    expect((await Promise.all(found)).flat().sort()).toEqual([...wanted, ...rests].sort())
  }

  test('a golden checkpoint gets its base once there is room, and VMs are made of it before that', async () => {
    await croft.kill('SIGTERM')
    await withoutBases(croft)
    // The base that no record names any more goes at the start.
    await fill(10)
    await croft.start()
    await vi.waitFor(async () => expect(await croft.log()).toContain('could not make memory bases'), wait)
    expect(await doctor()).toMatch(/memory layers +VMs of bare will share memory when the disk has \d+ MB free/)
    await croft.do('new', 'early')
    await croft.do('rm', 'early', '--yes')
    await expectFiles(0)
    const making = operation('base')
    await rm(join(folder, 'filler'))
    await making
    // It runs short again while the base is made.
    await leave(20 * MiB)
    await expectFiles(0)
    const proving = operation('proof')
    await leave()
    // And while a test VM maps it.
    await proving
    await leave(20 * MiB)
    await expectFiles(1)
    expect(await croft.state()).toMatchObject({ memoryLayers: null, vms: {} })
    await leave()
    await vi.waitFor(async () => expect((await croft.state()).memoryLayers).toMatchObject({ works: true }), {
      timeout: 120_000,
      interval: 250,
    })
    await expectFiles(1)
    expect(await doctor()).toMatch(/memory layers +a test VM shared memory/)
  })

  test('copies that there is no base for are made as before; the next one leads to it once there is room', async () => {
    await croft.do('new', 'source')
    const copy = async (name: string) => {
      await croft.do('cp', 'source', name)
      expect(await croft.peek(name, 'echo here')).toBe('here\n')
    }
    await copy('c1')
    const making = operation('base')
    await copy('c2')
    await making
    await leave(20 * MiB)
    await expectFiles(1)
    await leave()
    await copy('c3')
    await vi.waitUntil(async () => Object.keys((await croft.state()).memoryBases).length === 2, wait)
    await expectFiles(2)
  })
})
