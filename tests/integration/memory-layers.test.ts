import { createHash } from 'node:crypto'
import { copyFile, open, readdir, readFile, rename, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { faultPoints } from '../../daemon/core/operation/registry.ts'
import { Semaphore } from '../../daemon/lib/async/locks.ts'
import type { Memory, MemoryBase, State } from '../../daemon/store/index.ts'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { withoutBases } from '../lib/memory-base.ts'
import { must } from '../lib/program.ts'
import { mappedBy, qemuPid } from '../lib/qemu.ts'

/** VMs that are forks of one image map the same memory base, and what is saved of them is what differs from it. */
const MiB = 2 ** 20
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare' })
  await useOwnBase()
  for (const name of ['one', 'two']) {
    await croft.do('new', name)
    await remember(name)
  }
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

const pidOf = async (vm: string) => qemuPid({ id: (await croft.ask('show', { vm })).id })
const basesOf = async (): Promise<MemoryBase[]> => Object.values((await croft.state()).memoryBases)
const baseOf = async (): Promise<string> => join(croft.folder, (await basesOf())[0]!.file)
const mapOf = async (vm: string) => mappedBy(await pidOf(vm), await baseOf())
const sumOf = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
/** What a VM has in memory alone, and would lose by a boot. */
const remember = (vm: string) => croft.peek(vm, `echo ${vm} > /dev/shm/word`)
const word = async (vm: string) => (await croft.peek(vm, 'cat /dev/shm/word 2>/dev/null || echo none')).trim()
/** The saved memory of a VM that sleeps, once it is compressed. */
const saved = async (vm: string): Promise<{ memory: Memory; bytes: number }> => {
  const found = await vi.waitFor(
    async () => {
      const { vms, memories, operations } = await croft.state()
      const memory = memories[Object.values(vms).find(({ name }) => name === vm)!.memory!]!
      expect(memory.file).toMatch(/\.zst\.save$/)
      expect(operations).toEqual({})
      return memory
    },
    { timeout: 60_000, interval: 200 },
  )
  return { memory: found, bytes: (await stat(join(croft.folder, found.file))).blocks * 512 }
}

/** Other tests have hard links to the same base, and this one damages it. */
async function useOwnBase(): Promise<void> {
  const path = await baseOf()
  await croft.kill('SIGTERM')
  await copyFile(path, `${path}.own`)
  for (const program of ['chown', 'chmod']) await must(program, ['--reference', path, `${path}.own`])
  await rename(`${path}.own`, path)
  await croft.start()
}

/** Most of the base is mapped; whole chunks that the guest has freed since are not. */
async function expectMapped(vm: string): Promise<void> {
  const { bytes, residentBytes, privateBytes } = await mapOf(vm)
  expect(bytes).toBeGreaterThan((await stat(await baseOf())).size * 0.8)
  expect(residentBytes).toBeGreaterThan(10 * MiB)
  expect(privateBytes).toBeLessThan(bytes * 0.4)
}

test('two forks map one base', async () => {
  await expectMapped('one')
  await expectMapped('two')
  expect((await basesOf()).length).toBe(1)
})

test('memory that a guest frees comes back; the base and another fork’s memory stay as they were', async () => {
  const sum = await sumOf(await baseOf())
  const look = 'sha256sum /usr/bin/[a-m]* 2>/dev/null | sha256sum'
  const other = await croft.peek('two', look)
  const resident = async () => (await croft.ask('stat', { vm: 'one' })).memoryBytes as number
  const before = await resident()
  await croft.peek('one', 'head -c 150M /dev/urandom > /dev/shm/much')
  expect(await resident()).toBeGreaterThan(before + 120 * MiB)
  await croft.peek('one', 'rm /dev/shm/much; sync; echo 3 | sudo tee /proc/sys/vm/drop_caches')
  await vi.waitFor(async () => expect(await resident()).toBeLessThan(before + 60 * MiB), { timeout: 60_000 })
  expect(await sumOf(await baseOf())).toBe(sum)
  expect(await croft.peek('two', look)).toBe(other)
  expect([await word('one'), await word('two')]).toEqual(['one', 'two'])
})

test('the copy of a running VM maps it too, with the memory of its source', async () => {
  await croft.do('cp', 'two', 'three')
  expect(await word('three')).toBe('two')
  await expectMapped('three')
  await croft.do('rm', 'three', '--yes')
})

/** The bases that were made for copies, once there are so many. */
const ownBases = (count: number) =>
  vi.waitFor(
    async () => {
      const { operations, memoryBases } = await croft.state()
      expect(operations).toEqual({})
      const own = Object.values(memoryBases).filter(({ of }) => of !== null)
      expect(own).toHaveLength(count)
      return own
    },
    { timeout: 60_000, interval: 200 },
  )

/** What VMs share by such a base is more than the golden checkpoint's memory. */
async function expectOnOwn(vm: string, { file }: MemoryBase): Promise<void> {
  const map = await mappedBy(await pidOf(vm), join(croft.folder, file))
  expect(map.bytes).toBeGreaterThan(120 * MiB)
  expect(map.privateBytes).toBeLessThan(map.bytes * 0.3)
}

test('a VM and a checkpoint that are copied often get a base of their own, which goes with its last copy', async () => {
  // What the copies will share.
  await croft.peek('one', 'head -c 64M /dev/urandom > /dev/shm/app')
  const goldenId = (await basesOf())[0]!.id
  for (const name of ['c1', 'c2']) await croft.do('cp', 'one', name)
  const [ofVm] = await ownBases(1)
  await croft.do('cp', 'one', 'c3')
  await croft.do('checkpoint', 'one', 'ready')
  for (const name of ['r1', 'r2']) await croft.do('restore', 'one', 'ready', '--as', name)
  const ofCheckpoint = (await ownBases(2)).find(({ id }) => id !== ofVm!.id)
  await croft.do('restore', 'one', 'ready', '--as', 'r3')
  for (const [name, base] of [
    ['c3', ofVm],
    ['r3', ofCheckpoint],
  ] as const) {
    expect(await word(name)).toBe('one')
    await expectOnOwn(name, base!)
  }
  expect(await croft.peek('r3', 'sha256sum /dev/shm/app')).toBe(await croft.peek('one', 'sha256sum /dev/shm/app'))
  await croft.do('sleep', 'c3')
  await croft.do('wake', 'c3')
  expect(await word('c3')).toBe('one')
  for (const name of ['c1', 'c2', 'c3', 'r1', 'r2', 'r3']) await croft.do('rm', name, '--yes')
  await croft.do('checkpoint', 'rm', 'one', 'ready', '--yes')
  await croft.peek('one', 'rm /dev/shm/app')
  // Kept for the next copies, until half an hour has passed or the daemon starts anew.
  expect((await basesOf()).map(({ id }) => id).sort()).toEqual([goldenId, ofVm!.id, ofCheckpoint!.id].sort())
  await croft.kill('SIGTERM')
  await croft.start()
  await vi.waitFor(async () => expect((await basesOf()).map(({ id }) => id)).toEqual([goldenId]), { timeout: 20_000 })
  expect(await readdir(join(croft.folder, 'bases'))).toEqual([`${goldenId}.base`])
})

test('a sleeping VM that is copied often gets a base of its own, which goes with the last VM that maps it', async () => {
  await croft.do('cp', 'one', 'still')
  await croft.peek('still', 'head -c 64M /dev/urandom > /dev/shm/app; sha256sum /dev/shm/app > /dev/shm/sum')
  await croft.do('sleep', 'still')
  for (const name of ['s1', 's2']) await croft.do('cp', 'still', name)
  const [own] = await ownBases(1)
  await croft.do('cp', 'still', 's3')
  const isWhole = async (vm: string) => {
    await croft.do('wake', vm)
    expect(await croft.peek(vm, 'sha256sum -c --status /dev/shm/sum; echo $?')).toBe('0\n')
    expect(await word(vm)).toBe('one')
  }
  for (const name of ['s3', 'still']) {
    await isWhole(name)
    await expectOnOwn(name, own!)
  }
  await croft.do('rm', 'still', '--yes')
  await croft.kill('SIGTERM')
  await croft.start()
  expect(await ownBases(1)).toEqual([own])
  await croft.do('rm', 's3', '--yes')
  await ownBases(0)
  // They sleep in the same memory, which has not changed.
  await isWhole('s1')
  for (const name of ['s1', 's2']) await croft.do('rm', name, '--yes')
})

test('a sleeping VM keeps what differs, and wakes over the base, also before that is all it keeps', async () => {
  await croft.do('sleep', 'one')
  await croft.do('wake', 'one')
  expect(await word('one')).toBe('one')
  await expectMapped('one')
  await croft.do('sleep', 'one')
  const { memory, bytes } = await saved('one')
  expect(memory.base).toBe((await basesOf())[0]!.id)
  expect(bytes).toBeLessThan(20 * MiB)
  await croft.do('cp', 'one', 'copy')
  await croft.do('wake', 'copy')
  expect(await word('copy')).toBe('one')
  await expectMapped('copy')
  await croft.do('rm', 'copy', '--yes')
})

test('with memory layers turned off, a VM that sleeps in a difference wakes with its memory, and without the base', async () => {
  await croft.kill('SIGTERM')
  await croft.start({}, { memoryLayers: false })
  await croft.do('wake', 'one')
  expect(await word('one')).toBe('one')
  expect((await mapOf('one')).bytes).toBe(0)
  await croft.do('sleep', 'one')
  expect((await saved('one')).memory.base).toBe(null)
  await croft.kill('SIGTERM')
  await croft.start()
  await croft.do('wake', 'one')
  expect(await word('one')).toBe('one')
})

test('a damaged base is found before a guest runs on it: the VM starts from its disk, and says so', async () => {
  await croft.do('sleep', 'two')
  await saved('two')
  const path = await baseOf()
  const flip = async () => {
    await using file = await open(path, 'r+')
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 100 * 4096)
    await file.write(Buffer.from([buffer[0]! ^ 1]), 0, 1, 100 * 4096)
  }
  await flip()
  const doctor = await croft.run(['doctor'])
  expect(doctor.stdout).toMatch(/memory layers +Memory that VMs share can’t be used: bases\/bas_.* has been changed\./)
  expect(await croft.do('wake', 'two')).toMatch(
    /had to boot: memory that VMs share can’t be used: .* has been changed/i,
  )
  expect(await word('two')).toBe('none')
  await flip()
  expect((await croft.run(['doctor'])).stdout).toMatch(/memory layers +a test VM shared memory/)
})

/** Checks that there are just the files that have a record. */
async function expectFilesOf({ memories, memoryBases, layers }: Pick<State, 'memories' | 'memoryBases' | 'layers'>) {
  for (const [folder, records] of Object.entries({ memory: memories, bases: memoryBases, layers })) {
    const named = Object.values<{ file: string }>(records).map(({ file }) => basename(file))
    expect((await readdir(join(croft.folder, folder))).sort()).toEqual(named.sort())
  }
}

/** Holds 20 MB with a known sum. */
const hold = 'head -c 20M /dev/urandom > /dev/shm/held; sha256sum /dev/shm/held > /dev/shm/sum'
/** Also writes down when the sum is another. */
const checker = `${hold}
nohup sh -c 'while sleep 20; do sha256sum -c --status /dev/shm/sum || date >> /dev/shm/wrong; done' > /dev/null 2>&1 &`
const isWhole = (vm: string) => croft.peek(vm, 'sha256sum -c --status /dev/shm/sum; echo $?; ls /dev/shm')
const whole = '0\nheld\nsum\n'

test.runIf(deep)(
  'a fork that fills, frees, forks, sleeps and wakes leaves the memory of its nine brothers alone',
  async () => {
    const brothers = Array.from({ length: 9 }, (_, i) => `brother${i}`)
    for (const name of ['restless', ...brothers]) {
      await croft.do('new', name)
      await croft.peek(name, checker)
    }
    for (let round = 0; round < 10; round++) {
      await croft.peek('restless', 'head -c 200M /dev/urandom > /dev/shm/fill; rm /dev/shm/fill')
      await croft.do('cp', 'restless', 'copy')
      expect(await isWhole('copy')).toBe(whole)
      await croft.do('rm', 'copy', '--yes')
      await croft.do('sleep', 'restless')
      await croft.do('wake', 'restless')
      expect(await isWhole('restless')).toBe(whole)
    }
    process.kill(await pidOf(brothers[0]!), 'SIGKILL')
    for (const name of brothers.slice(1)) expect(await isWhole(name)).toBe(whole)
    for (const name of ['restless', ...brothers]) await croft.do('rm', name, '--yes')
  },
  1_800_000,
)

test.runIf(deep)(
  'a hundred forks made at once each have memory of their own; some are killed, and nothing is left of all of them',
  async () => {
    const { vms, layers } = await croft.state()
    const before = Object.keys(vms).sort()
    await croft.do('new', 'origin')
    await croft.peek('origin', hold)
    await croft.do('checkpoint', 'origin', 'ready')
    const began = performance.now()
    /** Makes a fork, unless the box has no memory left for it. */
    const fork = async (as: string): Promise<string[]> => {
      const { status, body } = await croft.call('restore', { vm: 'origin', label: 'ready', as })
      if (status === 200) return [as]
      expect(body, as).toMatchObject({ code: 'no-room' })
      return []
    }
    const forks = (await Promise.all(Array.from({ length: 100 }, (_, i) => fork(`fork${i}`)))).flat()
    const seconds = Math.round((performance.now() - began) / 1000)
    console.info(`${forks.length} forks in ${seconds} s`)
    expect(forks.length).toBeGreaterThan(50)
    await ownBases(1)
    const few = new Semaphore(4)
    const ofEach = (vms: readonly string[], work: (vm: string) => Promise<unknown>) =>
      Promise.all(vms.map((vm) => few.run(() => work(vm))))
    const isOwn = async (vm: string) =>
      expect(await croft.peek(vm, 'sha256sum -c --status /dev/shm/sum; echo $?; cat /dev/shm/nonce')).toBe(`0\n${vm}\n`)
    await ofEach(forks, (vm) => croft.peek(vm, `echo ${vm} > /dev/shm/nonce`))
    await ofEach(forks, isOwn)
    const killed = forks.filter((_, i) => i % 20 === 7)
    for (const name of killed) process.kill(await pidOf(name), 'SIGKILL')
    await ofEach(
      forks.filter((name) => !killed.includes(name)),
      isOwn,
    )
    await ofEach([...forks, 'origin'], (vm) => croft.ask('rm', { vm, yes: true }))
    // What is kept for the next copies goes.
    await croft.kill('SIGTERM')
    await croft.start()
    await ownBases(0)
    const after = await croft.state()
    expect([Object.keys(after.vms).sort(), Object.keys(after.layers).sort()]).toEqual([
      before,
      Object.keys(layers).sort(),
    ])
    expect((await readdir(join(croft.folder, 'vms'))).sort()).toEqual(before)
    await expectFilesOf(after)
    const guests = (await must('ps', ['-eo', 'args']))
      .split('\n')
      .filter((line) => line.includes(`${croft.folder}/layers/`))
    const taps = (await must('ip', ['-brief', 'link'])).split('\n').filter((line) => line.startsWith(names.tapPrefix))
    expect([guests.length, taps.length]).toEqual([before.length, before.length])
  },
  1_800_000,
)

const points = faultPoints.filter((point) => /^(base|proof)\./.test(point))
test.each(sample(points, 'base.keep', 'base.files', 'proof.work'))(
  'a golden checkpoint of an older Croft gets a base at the next start, also when the daemon is killed at %s',
  async (point) => {
    await asOlderCroft()
    await croft.startToDieAt(point)
    await croft.start()
    await vi.waitFor(
      async () => {
        const { memories, memoryBases, memoryLayers, layers, operations, vms } = await croft.state()
        expect(Object.keys(memoryBases).length).toBe(1)
        expect(memoryLayers?.works).toBe(true)
        expect([operations, vms]).toEqual([{}, {}])
        await expectFilesOf({ memories, memoryBases, layers })
      },
      { timeout: 60_000 },
    )
    await croft.do('new', 'made')
    await expectMapped('made')
  },
)

async function asOlderCroft(): Promise<void> {
  for (const name of (await croft.do('ls', '-q')).split('\n').filter(Boolean)) await croft.do('rm', name, '--yes')
  await croft.kill('SIGTERM')
  await withoutBases(croft)
}
