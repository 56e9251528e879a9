import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { nextCompaction } from '../../daemon/core/layer/compaction-plan.ts'
import { faultPoints } from '../../daemon/core/operation/registry.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { must, program } from '../lib/program.ts'

/** Chains of layers are kept short in the background, which changes the content of no disk. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare' })
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** After a failed test the daemon may be down; each test starts with a running one. */
beforeEach(async () => {
  if (!croft.running) await croft.start()
})

async function vmOf(name: string) {
  return Object.values((await croft.state()).vms).find((vm) => vm.name === name)!
}

/**
 * The files of a VM's disk and the layers beneath it, from the top down: as they name each other, and as libvirt has
 * them.
 */
async function chain(name: string): Promise<{ files: string[]; open: string[] }> {
  const state = await croft.state()
  const vm = await vmOf(name)
  const top = join(croft.folder, state.layers[vm.disk]!.file)
  const info: any[] = JSON.parse(await must('qemu-img', ['info', '-U', '--backing-chain', '--output=json', top]))
  for (const layer of info.slice(0, -1)) expect(layer['backing-filename']).toMatch(/^lay_[^/]*$/)
  const xml = await must('virsh', ['dumpxml', `croft-${vm.id}`])
  const disk = /<disk .*?<\/disk>/s.exec(xml)![0]
  return {
    files: info.map((layer) => layer.filename),
    open: [...disk.matchAll(/<source file='([^']*)'/g)].map((match) => match[1]!),
  }
}

/** Waits until nothing is left to merge. */
async function settled(running: string[] = []): Promise<void> {
  await vi.waitFor(
    async () => {
      const state = await croft.state()
      expect(state.operations).toEqual({})
      expect(nextCompaction(state, (vm) => running.includes(vm.name))).toBeUndefined()
      await tidy()
    },
    { timeout: 120_000, interval: 200 },
  )
}

/**
 * Checks that every layer has its file and every file its layer, that none is damaged, and that only disks are
 * writable.
 */
async function tidy(): Promise<void> {
  const { layers, vms } = await croft.state()
  const files = Object.values(layers).map(({ file }) => file.replace('layers/', ''))
  expect((await readdir(join(croft.folder, 'layers'))).sort()).toEqual(files.sort())
  const disks = Object.values(vms).map((vm) => vm.disk)
  for (const layer of Object.values(layers)) {
    const path = join(croft.folder, layer.file)
    expect((await must('stat', ['-c', '%a', path])).trim()).toBe(disks.includes(layer.id) ? '600' : '440')
  }
}

async function undamaged(): Promise<void> {
  for (const { file } of Object.values((await croft.state()).layers)) {
    await must('qemu-img', ['check', '-q', '-U', join(croft.folder, file)])
  }
}

/** The files that a VM has written so far, by name, with the checksum that each must have. */
type Written = Map<string, string>

async function write(vm: string, file: string, written: Written, MiB = 2): Promise<void> {
  const make = `head -c ${MiB}M /dev/urandom > ${file}; echo changed at ${file} >> log; sync`
  const sums = await croft.do('exec', vm, `${make}; sha256sum ${file} log`)
  for (const line of sums.trim().split('\n')) written.set(line.split(/ +/)[1]!, line.split(' ')[0]!)
}

async function holds(vm: string, written: Written): Promise<void> {
  const list = [...written].map(([file, sum]) => `${sum}  ${file}\n`).join('')
  // The guest's page cache says nothing about its disk.
  const check = 'sync; echo 3 | sudo tee /proc/sys/vm/drop_caches > /dev/null; sha256sum -c --quiet'
  const ended = await croft.run(['exec', vm, check], { input: list })
  expect(ended).toMatchObject({ code: 0, stdout: '' })
  expect((await croft.do('exec', vm, 'ls')).split('\n').filter(Boolean).sort()).toEqual([...written.keys()].sort())
}

/** Writes and takes checkpoints c1 to c6. @returns what each must hold */
async function sixCheckpoints(vm: string): Promise<Written[]> {
  const written: Written = new Map()
  const kept: Written[] = []
  for (let i = 1; i <= 6; i++) {
    await write(vm, `file${i}`, written)
    await croft.do('checkpoint', vm)
    kept.push(new Map(written))
  }
  return kept
}

describe('a VM with six checkpoints of which the middle ones are removed', () => {
  test('running, has a chain as short as it may be, open and on disk, and can go back to each that is left', async () => {
    await croft.do('new', 'web')
    const before = (await chain('web')).files.length
    const kept = await sixCheckpoints('web')
    expect((await chain('web')).open).toHaveLength(before + 6)
    for (const label of ['c2', 'c3', 'c4', 'c5']) await croft.do('checkpoint', 'rm', 'web', label, '--yes')
    await settled(['web'])
    const { files, open } = await chain('web')
    expect(files).toHaveLength(before + 2)
    expect(open).toEqual(files)
    await holds('web', kept[5]!)
    for (const i of [1, 6]) {
      await croft.do('restore', 'web', `c${i}`, '--as', `back${i}`)
      await holds(`back${i}`, kept[i - 1]!)
      await croft.do('rm', `back${i}`, '--yes')
    }
    await croft.do('checkpoint', 'rm', 'web', 'c6', '--yes')
    await settled(['web'])
    expect((await chain('web')).open).toHaveLength(before + 1)
    await holds('web', kept[5]!)
    await undamaged()
    await croft.do('rm', 'web', '--yes')
  })

  test.runIf(deep)('stopped, has the same', async () => {
    await croft.do('new', 'idle')
    const before = (await chain('idle')).files.length
    const kept = await sixCheckpoints('idle')
    await croft.do('exec', 'idle', 'sync')
    await croft.do('stop', 'idle', '--grace', '0')
    for (const label of ['c2', 'c3', 'c4', 'c5']) await croft.do('checkpoint', 'rm', 'idle', label, '--yes')
    await settled()
    expect((await chain('idle')).files).toHaveLength(before + 2)
    await croft.do('checkpoint', 'rm', 'idle', 'c6', '--yes')
    await settled()
    expect((await chain('idle')).files).toHaveLength(before + 1)
    await undamaged()
    await croft.do('restore', 'idle', 'c1', '--as', 'back1')
    await holds('back1', kept[0]!)
    await croft.do('rm', 'back1', '--yes')
    await croft.do('start', 'idle')
    await holds('idle', kept[5]!)
    await croft.do('rm', 'idle', '--yes')
  })
})

test.runIf(deep)(
  'what two running VMs share waits until one of them sleeps, which changes nothing for it',
  async () => {
    const written: Written = new Map()
    await croft.do('new', 'one')
    const before = (await chain('one')).files.length
    for (const label of ['low', 'high']) {
      await write('one', label, written, 1)
      await croft.do('checkpoint', 'one', label)
    }
    await croft.do('cp', 'one', 'other')
    for (const label of ['low', 'high']) await croft.do('checkpoint', 'rm', 'one', label, '--yes')
    await settled(['one', 'other'])
    expect((await chain('one')).open).toHaveLength(before + 3)
    await croft.do('sleep', 'other')
    await settled(['one'])
    expect((await chain('one')).open).toHaveLength(before + 2)
    await croft.do('wake', 'other')
    for (const name of ['one', 'other']) await holds(name, written)
    await undamaged()
    await croft.do('rm', 'other', '--yes')
    await settled(['one'])
    expect((await chain('one')).open).toHaveLength(before)
    await holds('one', written)
    await croft.do('rm', 'one', '--yes')
  },
)

const points = faultPoints.filter((point) => point.startsWith('merge.'))

describe('killed at every step of a merge, the daemon loses nothing and leaves nothing', () => {
  describe.runIf(deep)('of a VM that runs', () => {
    const written: Written = new Map()
    beforeAll(() => croft.do('new', 'runs'))
    afterAll(() => croft.do('rm', 'runs', '--yes'))

    // A copy replaces nothing here.
    test.each(points.filter((point) => point !== 'merge.replace'))('at %s', async (point) => {
      const boot = await croft.do('exec', 'runs', 'cat /proc/sys/kernel/random/boot_id')
      const before = (await chain('runs')).files.length
      for (const label of ['low', 'high']) {
        await write('runs', `${point}-${label}`, written, 1)
        await croft.do('checkpoint', 'runs', label)
      }
      await write('runs', `${point}-disk`, written, 1)
      for (const label of ['low', 'high']) {
        await croft.cutAt(point, 'checkpoint', 'rm', 'runs', label, '--yes')
        await settled(['runs'])
        await holds('runs', written)
      }
      const { files, open } = await chain('runs')
      expect(files).toHaveLength(before)
      expect(open).toEqual(files)
      await undamaged()
      expect(await croft.do('exec', 'runs', 'cat /proc/sys/kernel/random/boot_id')).toBe(boot)
    })
  })

  describe('of a VM that is off', () => {
    beforeAll(() => croft.do('new', 'off', '--stopped'))
    afterAll(() => croft.do('rm', 'off', '--yes'))
    /** The place on its disk where each round writes, in MiB, and what it writes there. */
    const written: { at: number; pattern: number }[] = []

    async function writeOff(): Promise<void> {
      const { layers } = await croft.state()
      const round = { at: 5000 + written.length, pattern: written.length + 1 }
      const file = join(croft.folder, layers[(await vmOf('off')).disk]!.file)
      await must('qemu-io', ['-c', `write -P ${round.pattern} ${round.at}M 1M`, file])
      written.push(round)
    }

    test.each(sample(points, 'merge.replace'))('at %s', async (point) => {
      const before = (await chain('off')).files.length
      for (const label of ['low', 'high']) {
        await writeOff()
        await croft.do('checkpoint', 'off', label)
      }
      await writeOff()
      for (const label of ['low', 'high']) {
        await croft.cutAt(point, 'checkpoint', 'rm', 'off', label, '--yes')
        await settled()
        const { layers } = await croft.state()
        const file = join(croft.folder, layers[(await vmOf('off')).disk]!.file)
        for (const { at, pattern } of written) {
          expect(await must('qemu-io', ['-r', '-c', `read -P ${pattern} ${at}M 1M`, file])).not.toContain('failed')
        }
      }
      expect((await chain('off')).files).toHaveLength(before)
      await undamaged()
    })
  })
})

describe('while much is merged', () => {
  const written: Written = new Map()
  beforeAll(() => croft.do('new', 'busy'))
  afterAll(() => croft.do('rm', 'busy', '--yes'))

  /** Starts a merge, by default of 800 MiB, from a frozen layer or from the VM's disk into the layer below. */
  async function mergeMuch(round: string, from: 'layer' | 'disk' = 'layer', times = 100): Promise<unknown> {
    await write('busy', `${round}-low`, written, 1)
    await croft.do('checkpoint', 'busy', `${round}-low`)
    // Random bytes are slow to make; it only matters that they are not zeros.
    const fill = `head -c 8M /dev/urandom > part; for i in $(seq ${times}); do cat part; done > ${round}-much; rm part; sync`
    const sum = await croft.do('exec', 'busy', `${fill}; sha256sum ${round}-much`)
    written.set(`${round}-much`, sum.split(' ')[0]!)
    if (from === 'layer') await croft.do('checkpoint', 'busy', `${round}-high`)
    return removeToMerge('busy', `${round}-low`, 'commit')
  }

  /** Removes a checkpoint, and returns as soon as the merge that this allows has begun. */
  async function removeToMerge(vm: string, label: string, way: string): Promise<unknown> {
    const removing = croft.run(['checkpoint', 'rm', vm, label, '--yes'])
    await vi.waitFor(
      async () => expect(Object.values((await croft.state()).operations)).toMatchObject([{ kind: 'merge', way }]),
      { timeout: 20_000, interval: 10 },
    )
    return removing
  }

  test('a VM can be copied, and both go on', async () => {
    await mergeMuch('copied', 'disk', 12)
    await croft.ask('cp', { vm: 'busy', name: 'copy' })
    await holds('copy', written)
    // QEMU reopens its layers when it resumes after one.
    await croft.do('checkpoint', 'busy', 'afterwards')
    await croft.do('exec', 'busy', 'true')
    await croft.do('rm', 'copy', '--yes')
  })

  test.runIf(deep).each(['layer', 'disk'] as const)(
    'of a %s, nobody who needs the VM waits for that, and it is done afterwards',
    async (from) => {
      await mergeMuch(`wanted-${from}`, from)
      await croft.ask('checkpoint', { vm: 'busy', label: `meanwhile-${from}` })
      const before = (await chain('busy')).open.length
      await settled(['busy'])
      expect((await chain('busy')).open.length).toBe(before - 1)
      await holds('busy', written)
      await undamaged()
    },
  )

  test.runIf(deep)('nor does a caller that needs a stopped VM into whose disk it is copied', async () => {
    await croft.do('new', 'off', '--stopped')
    const diskFile = async () => join(croft.folder, (await croft.state()).layers[(await vmOf('off')).disk]!.file)
    await must('qemu-io', ['-c', 'write -P 7 5G 800M', await diskFile()])
    await croft.do('checkpoint', 'off', 'low')
    await removeToMerge('off', 'low', 'rebase')
    await croft.ask('checkpoint', { vm: 'off', label: 'meanwhile' })
    await undamaged()
    await settled()
    expect(await must('qemu-io', ['-r', '-c', 'read -P 7 5G 800M', await diskFile()])).not.toContain('failed')
    await croft.do('rm', 'off', '--yes')
  })

  test.runIf(deep)(
    'a merge that is aborted when it has all but happened leaves no layer open for writing',
    async () => {
      await mergeMuch('late', 'disk')
      const domain = `croft-${(await vmOf('busy')).id}`
      const mirrors = (pattern: RegExp) =>
        vi.waitFor(async () => expect(await must('virsh', ['dumpxml', domain])).toMatch(pattern), {
          timeout: 60_000,
          interval: 10,
        })
      await mirrors(/<mirror /)
      process.kill(croft.pid, 'SIGSTOP')
      try {
        await mirrors(/<mirror [^>]*ready='yes'/)
        await must('virsh', ['blockjob', domain, 'vda', '--abort'])
      } finally {
        process.kill(croft.pid, 'SIGCONT')
      }
      // QEMU reopens its layers when it resumes after one.
      await croft.do('checkpoint', 'busy', 'after')
      await croft.do('cp', 'busy', 'copy')
      await croft.do('rm', 'copy', '--yes')
      await settled(['busy'])
      await holds('busy', written)
      await undamaged()
    },
  )

  test.runIf(deep).each(['layer', 'disk'] as const)(
    'of a %s, the daemon may be killed: QEMU goes on, and the next daemon begins anew',
    async (from) => {
      await mergeMuch(`killed-${from}`, from)
      await croft.kill()
      expect((await croft.state()).operations).not.toEqual({})
      const before = (await chain('busy')).open.length
      await croft.start()
      await settled(['busy'])
      expect((await chain('busy')).open.length).toBeLessThan(before)
      await croft.do('checkpoint', 'busy', `after-${from}`)
      await holds('busy', written)
      await undamaged()
    },
  )
})

test('a VM whose QEMU has a layer open for writing, of a commit that failed, is copied and goes on', async () => {
  await croft.do('new', 'held')
  await croft.peek('held', 'sudo sh -c "echo in-memory > /run/word"')
  await croft.do('checkpoint', 'held', 'one')
  const { id, disk } = await vmOf('held')
  const { layers } = await croft.state()
  const [top, base] = [disk, layers[disk]!.parent!].map((each) => join(croft.folder, layers[each]!.file))
  const virsh = (...words: string[]) => must('virsh', ['-q', ...words])
  // As an older Croft left it: the layer was made writable for a commit, which ended, and was frozen again.
  await must('chown', ['libvirt-qemu:libvirt-qemu', base!])
  await must('chmod', ['600', base!])
  await virsh('blockcommit', `croft-${id}`, 'vda', '--active', '--top', top!, '--base', base!)
  await vi.waitFor(() => virsh('blockjob', `croft-${id}`, 'vda', '--abort'), { timeout: 20_000, interval: 50 })
  await vi.waitFor(async () => expect(await virsh('blockjob', `croft-${id}`, 'vda')).toBe(''), { timeout: 20_000 })
  await must('chown', ['root', base!])
  await must('chmod', ['440', base!])
  const nodes = await must('virsh', ['qemu-monitor-command', `croft-${id}`, '{"execute":"query-named-block-nodes"}'])
  // A layer's file is given with all layers beneath it, itself last.
  const written = JSON.parse(nodes).return.filter((each: any) => each.drv === 'qcow2' && !each.ro)
  const names = written.map(({ file }: { file: string }) => /(\w+)\.qcow2[^/]*$/.exec(file)![1])
  expect(names.sort()).toEqual([disk, layers[disk]!.parent!].sort())

  await croft.ask('checkpoint', { vm: 'held', label: 'two' })
  await croft.do('cp', 'held', 'copy')
  for (const name of ['held', 'copy']) expect(await croft.peek(name, 'cat /run/word')).toBe('in-memory\n')
  await croft.do('rm', 'copy', '--yes')
  await croft.do('stop', 'held', '--grace', '0')
  await croft.do('start', 'held')
  await tidy()
  await croft.do('rm', 'held', '--yes')
})

describe('what a guest deletes and trims', () => {
  beforeAll(() => croft.do('new', 'trim'))
  afterAll(() => croft.do('rm', 'trim', '--yes'))

  const MiB = 2 ** 20
  const fill = (file: string, times: number) =>
    `head -c 16M /dev/urandom > part; for i in $(seq ${times}); do cat part; done > ${file}; rm part; sync`
  const giveBack = 'sync; sudo fstrim / && sync'

  /** Bytes on the box of the VM's own layers: its disk's, and its checkpoints'. */
  async function taken(): Promise<number> {
    const { layers, checkpoints } = await croft.state()
    const vm = await vmOf('trim')
    const own = Object.values(checkpoints).filter((each) => each.vm === vm.id)
    const ids = new Set([vm.disk, ...own.map(({ layer }) => layer)])
    const sizes = await Promise.all(
      [...ids].map(async (id) => Number(await must('stat', ['-c', '%b', join(croft.folder, layers[id]!.file)])) * 512),
    )
    return sizes.reduce((sum, size) => sum + size, 0)
  }

  const much = deep ? 1024 : 256

  test(`is given back to the box: ${much} MiB of it`, async () => {
    await croft.do('exec', 'trim', `${fill('warm', 4)}; rm warm; ${giveBack}`)
    const before = await taken()
    await croft.do('exec', 'trim', fill('big', much / 16))
    expect(await taken()).toBeGreaterThan(before + (much - 24) * MiB)
    await croft.do('exec', 'trim', `rm big; ${giveBack}`)
    expect(await taken()).toBeLessThan(before + 10 * MiB)
  })

  test('is counted by `box df`: what is whose, and what nothing needs', async () => {
    await croft.do('checkpoint', 'trim', 'counted')
    const stray = join(croft.folder, 'memory/stray')
    await writeFile(stray, Buffer.alloc(MiB, 1))
    const { parts, croftBytes, sharedBytes, reclaimable, diskFreeBytes, forecast } = await croft.ask('box-df')
    await rm(stray)

    const { layers, memories, checkpoints } = await croft.state()
    const { layer, memory } = Object.values(checkpoints).find(({ label }) => label === 'counted')!
    const size = async (file: string) => Number(await must('stat', ['-c', '%b', join(croft.folder, file)])) * 512
    const [layerBytes, memoryBytes] = [await size(layers[layer]!.file), await size(memories[memory!]!.file)]
    const part = (kind: string) => parts.find((each: any) => each.kind === kind)
    expect(part('checkpoint')).toMatchObject({
      name: 'counted',
      layerBytes,
      savedMemoryBytes: memoryBytes,
      ownBytes: memoryBytes,
    })
    expect(memoryBytes).toBeGreaterThan(20 * MiB)
    // A guest that breaks out of its QEMU must not read another guest's memory.
    const asQemu = (...words: string[]) =>
      program('setpriv', ['--reuid', 'libvirt-qemu', '--regid', 'kvm', '--clear-groups', ...words])
    for (const path of [join(croft.folder, memories[memory!]!.file), join(croft.folder, 'state.json')])
      expect(await asQemu('cat', path)).toMatchObject({ code: 1, stderr: expect.stringContaining('Permission denied') })
    expect((await asQemu('ls', join(croft.folder, 'memory'))).code).toBe(2)
    expect(part('vm').name).toBe('trim')
    expect(part('vm').ownBytes).toBeGreaterThanOrEqual(part('vm').layerBytes + layerBytes + memoryBytes)
    expect(part('image').sharedBytes).toBeGreaterThan(100 * MiB)
    expect(part('golden').savedMemoryBytes).toBeGreaterThan(50 * MiB)
    expect(sharedBytes).toBeGreaterThanOrEqual(part('image').sharedBytes)
    expect(croftBytes).toBeGreaterThanOrEqual(part('vm').ownBytes + sharedBytes + part('golden').ownBytes)
    expect(reclaimable).toMatchObject([{ command: 'systemctl restart croft', why: '1 file that nothing needs' }])
    expect(diskFreeBytes).toBeGreaterThan(0)
    expect(forecast).toBeNull()

    // Its topmost layer is nearly empty; the layers that go with it are large.
    const { vms } = await croft.ask('ls')
    const { diskBytes: listed } = vms.find(({ name }: { name: string }) => name === 'trim')
    expect(Math.abs(listed / part('vm').ownBytes - 1)).toBeLessThan(0.1)
    const { stderr } = await croft.run(['rm', 'trim'])
    const [, megabytes] = /^This deletes trim: (\d+) MB on disk and 1 checkpoint\. It can't be undone/.exec(stderr)!
    expect(Number(megabytes) * 1e6).toBeGreaterThan(0.9 * part('vm').ownBytes)

    expect(await croft.do('box', 'df')).toMatch(/^trim .*\n {2}counted .*\nbare .*/m)
    await croft.do('checkpoint', 'rm', 'trim', 'counted', '--yes')
    await settled(['trim'])
  })

  test.runIf(deep)('stays as long as a checkpoint has it, and is given back once that goes', async () => {
    const before = await taken()
    await croft.do('exec', 'trim', fill('big', 16))
    await croft.do('checkpoint', 'trim', 'has-it')
    await croft.do('exec', 'trim', `rm big; ${giveBack}`)
    expect(await taken()).toBeGreaterThan(before + 250 * MiB)
    await croft.do('checkpoint', 'rm', 'trim', 'has-it', '--yes')
    await settled(['trim'])
    await croft.do('exec', 'trim', giveBack)
    expect(await taken()).toBeLessThan(before + 25 * MiB)
  })
})
