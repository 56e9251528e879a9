import { type FSWatcher, watch } from 'node:fs'
import { open, readdir, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { faultPoints } from '../../daemon/core/operation/registry.ts'
import type { Vm } from '../../daemon/store/index.ts'
import { type Croft, slot, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { must, program } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'

/**
 * The daemon is killed with SIGKILL at every step of checkpoint, cp, restore, sleep and wake. A VM that ran is running
 * or asleep with its memory, never rebooted. No layer or memory that is needed is lost, and none that is not needed is
 * left.
 */
let croft: Croft
/** Holds the name of the step that is to fail next, see daemon/lib/async/fault.ts. */
const toFail = join(tmpdir(), `croft-fail-${slot}`)
/** The boot id of the one VM that all tests use. */
let boot: string
beforeAll(async () => {
  croft = await startCroft({ image: 'bare', env: { CROFT_FAIL: toFail } })
  await croft.do('new', 'steady')
  boot = await bootOf('steady')
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await rm(toFail, { force: true })
})

/** After a failed test the daemon may be down; each test starts with a running one and a VM that is awake. */
beforeEach(async () => {
  if (!croft.running) await croft.start()
  await croft.do('start', 'steady')
  boot = await bootOf('steady')
})
afterEach(async () => {
  if (!croft.running) return
  for (const name of (await croft.do('ls', '-q')).split('\n').filter((each) => each && each !== 'steady'))
    await croft.run(['rm', name, '--yes'])
  await nothingIsLeft()
})

/** Wakes a VM and runs a script in it. @returns its output */
const inside = async (name: string, script: string) => {
  await croft.do('wake', name)
  return croft.peek(name, script)
}
const bootOf = (name: string) => inside(name, 'cat /proc/sys/kernel/random/boot_id')
const recordOf = async (name: string): Promise<Vm> =>
  Object.values((await croft.state()).vms).find((vm) => vm.name === name)!
const points = (kind: string) => faultPoints.filter((point) => point.startsWith(`${kind}.`))

/** Waits for background work (merges) to end first. */
const nothingIsLeft = () => vi.waitFor(checkNothingIsLeft, { timeout: 30_000, interval: 200 })

/** Every file belongs to a record and every record has its file; every disk that nobody writes is whole. */
async function checkNothingIsLeft(): Promise<void> {
  const { vms, layers, memories, operations } = await croft.state()
  expect(operations).toEqual({})
  const files = async (folder: string) => (await readdir(join(croft.folder, folder))).sort()
  const named = (records: Record<string, { file: string }>) => Object.values(records).map(({ file }) => basename(file))
  expect(await files('layers')).toEqual(named(layers).sort())
  expect(await files('memory')).toEqual(named(memories).sort())
  expect(await files('vms')).toEqual(Object.keys(vms).sort())
  const xml = await Promise.all(
    (await must('virsh', ['-q', 'list', '--all', '--name']))
      .split('\n')
      .map((name) => program('virsh', ['dumpxml', name])),
  )
  expect(xml.filter(({ stdout }) => stdout.includes(`${croft.folder}/`))).toHaveLength(Object.keys(vms).length)
  const running = await must('virsh', ['-q', 'list', '--name'])
  for (const vm of Object.values(vms)) {
    if (running.includes(vm.id)) continue
    await must('qemu-img', ['check', '-q', join(croft.folder, layers[vm.disk]!.file)])
  }
}

/** Kills the daemon at a fault point of a command that a caller waits for. */
async function cutAt(point: string, ...args: string[]): Promise<void> {
  const done = await croft.cutAt(point, ...args)
  expect(done).toMatchObject({ code: 5, stderr: expect.stringContaining('croftd ended') })
}

const labels = async () =>
  JSON.parse(await croft.do('checkpoint', 'ls', 'steady', '--json')).checkpoints.map((each: any) => each.label)

describe('cut off', () => {
  test.each(sample(points('checkpoint'), 'checkpoint.define'))(
    'at %s, a checkpoint is taken or not, and the VM runs on',
    async (point) => {
      // One on its disk, and one only in its memory.
      await inside('steady', `echo ${point} > word; sync; sudo sh -c 'echo ${point} > /run/word'`)
      await cutAt(point, 'checkpoint', 'steady', 'cut')
      expect(await bootOf('steady')).toBe(boot)
      if ((await labels()).includes('cut')) {
        await croft.do('restore', 'steady', 'cut', '--as', 'other')
        expect(await inside('other', 'cat word /run/word')).toBe(`${point}\n${point}\n`)
        await croft.do('rm', 'other', '--yes')
        await croft.do('checkpoint', 'rm', 'steady', 'cut', '--yes')
      } else expect(['checkpoint.disk', 'checkpoint.snapshot']).toContain(point)
    },
  )

  test('in the middle of a snapshot, the VM runs on', async () => {
    const taking = croft.run(['checkpoint', 'steady', 'cut'])
    await memoryAppears()
    await croft.kill()
    await taking
    await croft.start()
    expect(await bootOf('steady')).toBe(boot)
    if ((await labels()).includes('cut')) await croft.do('checkpoint', 'rm', 'steady', 'cut', '--yes')
  })

  test.each(sample(points('new'), 'new.boot'))(
    'at %s, a copy has never been, and the source runs on',
    async (point) => {
      await cutAt(point, 'cp', 'steady', 'copy')
      expect(await croft.do('ls', '-q')).toBe('steady\n')
      expect(await bootOf('steady')).toBe(boot)
    },
  )

  test.each(sample(points('sleep'), 'sleep.freeze'))(
    'at %s, the VM is awake or asleep, with its memory',
    async (point) => {
      await cutAt(point, 'sleep', 'steady')
      const asleep = ['sleep.freeze', 'sleep.end'].includes(point)
      expect(await croft.do('ls', '-q', '--state', asleep ? 'asleep' : 'awake')).toBe('steady\n')
      expect(await bootOf('steady')).toBe(boot)
    },
  )

  test('while its memory is written, the VM is awake or asleep, with its memory', async () => {
    const sleeping = croft.run(['sleep', 'steady'])
    await memoryAppears()
    await croft.kill()
    await sleeping
    await croft.start()
    expect(await bootOf('steady')).toBe(boot)
  })

  test.each(sample(points('wake')))('at %s, the VM is awake or asleep, with its memory', async (point) => {
    await croft.do('sleep', 'steady')
    await cutAt(point, 'wake', 'steady')
    expect(await bootOf('steady')).toBe(boot)
    expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('steady\n')
  })

  test.each(sample(points('restore'), 'restore.disk'))('at %s, the VM is at its checkpoint', async (point) => {
    await inside('steady', `echo ${point} > word; sync`)
    await croft.do('checkpoint', 'steady', 'goal')
    await inside('steady', 'echo later > word')
    await cutAt(point, 'restore', 'steady', 'goal')
    expect(await inside('steady', 'cat word')).toBe(`${point}\n`)
    expect(await bootOf('steady')).toBe(boot)
    const [, before] = await labels()
    await croft.do('restore', 'steady', before)
    expect(await inside('steady', 'cat word')).toBe('later\n')
    for (const label of await labels()) await croft.do('checkpoint', 'rm', 'steady', label, '--yes')
  })

  test.each(sample(points('collect')))('at %s, what a checkpoint kept is gone', async (point) => {
    await croft.do('checkpoint', 'steady', 'old')
    await cutAt(point, 'checkpoint', 'rm', 'steady', 'old', '--yes')
    expect(await bootOf('steady')).toBe(boot)
  })
})

describe('the memory of a VM that sleeps for a while', () => {
  const memoryOf = async () => {
    const { memory } = await recordOf('steady')
    return join(croft.folder, (await croft.state()).memories[memory!]!.file)
  }
  const bytesOf = async (path: string) => (await stat(path)).blocks * 512

  test('becomes small; a program that runs in it goes on, and it sleeps again', async () => {
    const program =
      // Replaced whole, so that nobody reads it empty.
      'import os, time\nn = 0\nwhile True: n += 1; time.sleep(0.05); print(n, file=open("m", "w"), flush=True); os.replace("m", "n")'
    await croft.run(['exec', 'steady', 'cat > n.py; nohup python3 n.py > /dev/null 2>&1 & echo $!'], { input: program })
    await croft.do('sleep', 'steady')
    const raw = await memoryOf()
    const bytes = await bytesOf(raw)
    await vi.waitFor(async () => expect(await memoryOf()).not.toBe(raw), { timeout: 30_000, interval: 250 })
    expect(await bytesOf(await memoryOf())).toBeLessThan(bytes / 3)
    const part = (await croft.ask('box-df')).parts.find((each: any) => each.kind === 'memory')
    expect(part.ownBytes).toBe(await bytesOf(await memoryOf()))
    const count = async () => Number(await inside('steady', 'cat n'))
    const woken = await count()
    expect(woken).toBeGreaterThan(1)
    await vi.waitFor(async () => expect(await count()).toBeGreaterThan(woken), { timeout: 20_000, interval: 100 })
    await croft.do('sleep', 'steady')
    expect(await inside('steady', 'pkill python3; cat /proc/sys/kernel/random/boot_id')).toBe(boot)
  })

  test.each(sample(points('compress'), 'compress.end'))('is whole when the daemon dies at %s', async (point) => {
    await croft.kill('SIGTERM')
    await croft.start({ CROFT_FAULT: point })
    await croft.do('sleep', 'steady')
    await croft.ended
    await croft.start()
    expect(await bootOf('steady')).toBe(boot)
  })
})

/** Resolves when the next file of saved memory begins to grow. */
async function memoryAppears(): Promise<string> {
  const folder = join(croft.folder, 'memory')
  let watcher: FSWatcher | undefined
  try {
    return await new Promise<string>((resolve) => {
      watcher = watch(folder, (_, name) => {
        stat(join(folder, name!)).then(
          ({ size }) => size > 2 ** 20 && resolve(join(folder, name!)),
          () => {},
        )
      })
    })
  } finally {
    watcher?.close()
  }
}

describe('a step that fails', () => {
  /** Runs a command that fails at a point, or that the next command finishes. */
  async function failAt(point: string, ...args: string[]): Promise<void> {
    await writeFile(toFail, point)
    const { code } = await croft.run(args)
    expect([point, code]).toEqual([point, 1])
    await expect(stat(toFail)).rejects.toThrow('ENOENT')
  }
  const writerOf = async (name: string) => {
    const { disk } = await recordOf(name)
    return must('stat', ['-c', '%U %a', join(croft.folder, (await croft.state()).layers[disk]!.file)])
  }
  const atRest = 'libvirt-qemu 600\n'

  test('of a checkpoint leaves a VM that is awake running, and the next checkpoint is taken', async () => {
    for (const point of points('checkpoint')) {
      await failAt(point, 'checkpoint', 'steady', 'failed')
      await croft.do('checkpoint', 'steady', 'next')
      expect((await croft.state()).operations).toEqual({})
      const taken = await labels()
      expect(taken).toContain('next')
      for (const label of taken) await croft.do('checkpoint', 'rm', 'steady', label, '--yes')
      expect(await bootOf('steady')).toBe(boot)
    }
  })

  test('of a checkpoint or a copy leaves a VM that is asleep so, with its disk for it to write', async () => {
    await croft.do('sleep', 'steady')
    for (const point of points('checkpoint')) {
      await failAt(point, ...(point === 'checkpoint.freeze' ? ['cp', 'steady', 'other'] : ['checkpoint', 'steady']))
      expect([point, await croft.do('ls', '-q', '--state', 'asleep')]).toEqual([point, 'steady\n'])
      expect([point, await writerOf('steady')]).toEqual([point, atRest])
      await nothingIsLeft()
    }
    expect(await bootOf('steady')).toBe(boot)
  })

  test('of waking leaves its memory, and it wakes with that', async () => {
    await croft.do('sleep', 'steady')
    await failAt('wake.load', 'wake', 'steady')
    expect(await bootOf('steady')).toBe(boot)
    for (const point of sample(points('wake').slice(1), 'wake.resume')) {
      await croft.do('sleep', 'steady')
      await failAt(point, 'wake', 'steady')
      expect([point, await bootOf('steady')]).toEqual([point, boot])
    }
  })

  test('of going to sleep has the VM awake, or asleep', async () => {
    for (const point of sample(points('sleep'), 'sleep.save', 'sleep.end')) {
      await failAt(point, 'sleep', 'steady')
      expect([point, await bootOf('steady')]).toEqual([point, boot])
    }
  })

  test('of a checkpoint or going back leaves a VM that is stopped able to start', async () => {
    await croft.do('checkpoint', 'steady', 'good')
    await croft.do('stop', 'steady')
    for (const point of points('checkpoint')) {
      await failAt(point, 'checkpoint', 'steady')
      expect([point, await writerOf('steady')]).toEqual([point, atRest])
      await nothingIsLeft()
    }
    for (const point of points('restore')) await failAt(point, 'restore', 'steady', 'good')
    expect(await bootOf('steady')).toBe(boot)
    for (const label of await labels()) await croft.do('checkpoint', 'rm', 'steady', label, '--yes')
  })

  test('for good goes with the VM that is deleted', async () => {
    await croft.do('new', 'lost', '--stopped')
    const { disk } = await recordOf('lost')
    await rm(join(croft.folder, (await croft.state()).layers[disk]!.file))
    expect((await croft.run(['doctor'])).stdout).toContain(`missing: layers/${disk}.qcow2 (lost)`)
    expect(await croft.do('ls')).toMatch(/^lost +stopped +– +– +gone /m)
    expect(await croft.do('box', 'df')).toMatch(/^lost .* gone +– +VM$/m)
    expect(await croft.run(['resize', 'lost', '--disk', '70G'])).toMatchObject({ code: 1 })
    expect(await croft.run(['start', 'lost'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^The disk of lost is gone: |^An earlier change to lost is not finished: /),
    })
    await croft.do('rm', 'lost', '--yes')
    await nothingIsLeft()
  })
})

test('a VM whose saved memory is gone says so: it is not copied, and boots when it is woken', async () => {
  await croft.do('sleep', 'steady')
  const { memory } = await recordOf('steady')
  await rm(join(croft.folder, (await croft.state()).memories[memory!]!.file))
  expect(await croft.run(['cp', 'steady', 'other'])).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^The saved memory of steady is gone: .*\ncroft wake steady starts it from its disk\.\n$/,
    ),
  })
  expect(await croft.do('wake', 'steady')).toMatch(
    /^steady is awake, in [\d.]+ s\.\nIt had to boot: the saved memory of steady is gone: .*\nAnything that was only in its memory is lost\.\n$/,
  )
})

describe('memory that can’t be loaded', () => {
  const damages: [string, (path: string) => Promise<void>][] = [
    ['cut short', (path: string) => truncate(path, 40_000_000)],
    ['gone', (path: string) => rm(path)],
    [
      'damaged in its header',
      async (path: string) => {
        await using file = await open(path, 'r+')
        await file.write('LibvirtQemudWhat', 0)
      },
    ],
  ]
  test.each(sample(damages, damages[0]!))(
    'for it is %s: the VM boots from its disk, and says so',
    async (_, damage) => {
      await inside('steady', 'echo kept > kept; sync')
      await croft.do('sleep', 'steady')
      const { memory } = await recordOf('steady')
      await damage(join(croft.folder, (await croft.state()).memories[memory!]!.file))
      using events = await croft.events()
      expect(await inside('steady', 'cat kept')).toBe('kept\n')
      await events.until(
        (event) => event.type === 'box.warning' && /its saved memory could not be loaded/.test(event.message),
      )
      expect(await bootOf('steady')).not.toBe(boot)
    },
  )

  test.runIf(deep)('for it is of another machine: the VM boots from its disk', async () => {
    await croft.do('sleep', 'steady')
    await croft.kill('SIGTERM')
    const state = await croft.state()
    const memory = state.memories[(await recordOf('steady')).memory!]!
    memory.hardware.cpu = 'another'
    await writeFile(join(croft.folder, 'state.json'), JSON.stringify(state))
    await croft.start()
    expect(await bootOf('steady')).not.toBe(boot)
  })
})

test('a QEMU that is killed while its memory is saved: the VM shows as crashed, and its disk is whole', async () => {
  await inside('steady', 'echo kept > kept; sync')
  const vm = await recordOf('steady')
  const pid = await qemuPid(vm)
  const sleeping = croft.run(['sleep', 'steady'])
  await memoryAppears()
  process.kill(pid, 'SIGKILL')
  expect(await sleeping).toMatchObject({ code: 1 })
  await vi.waitFor(async () => expect(await croft.do('ls', '-q', '--state', 'crashed')).toBe('steady\n'))
  const { file } = (await croft.state()).layers[vm.disk]!
  await must('qemu-img', ['check', '-q', join(croft.folder, file)])
  if (!deep) return // a boot takes long
  await croft.do('start', 'steady')
  expect(await inside('steady', 'cat kept')).toBe('kept\n')
})
