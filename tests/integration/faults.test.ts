import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { faultPoints } from '../../daemon/core/operation/registry.ts'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'

/**
 * The daemon is killed with SIGKILL at every step of every change. The next start finishes or undoes the change,
 * and nothing is left: no domain, disk, lease, tap, firewall entry or file.
 */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare', recipes: join(import.meta.dirname, 'fixtures/recipes') })
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** After a failed test the daemon may be down; each test starts with a running one. */
beforeEach(async () => {
  if (!croft.running) await croft.start()
})

/** Everything that Croft has on the box, as seen from outside. */
async function traces() {
  const state = await croft.state()
  const domains = (await must('virsh', ['-q', 'list', '--all', '--name']))
    .split('\n')
    .filter((name) => name.startsWith('croft-'))
  const ours: string[] = []
  for (const domain of domains) {
    if ((await program('virsh', ['dumpxml', domain])).stdout.includes(croft.folder)) ours.push(domain)
  }
  const list = (folder: string) => readdir(join(croft.folder, folder)).catch(() => [])
  return {
    vms: Object.values(state.vms).map((vm) => ({ name: vm.name, phase: vm.phase, disk: vm.limits.diskGiB })),
    operations: state.operations,
    images: Object.values(state.images).map((image) => `${image.name} ${image.current}`),
    layers: Object.keys(state.layers).length,
    domains: ours.length,
    files: {
      vms: (await list('vms')).length,
      images: (await list('images')).length,
      layers: (await list('layers')).length,
      building: await list('building'),
    },
    logs: (await program('grep', ['-rlF', croft.folder, '/var/log/libvirt/qemu'])).stdout.split('\n').length - 1,
    leases: [...(await must('virsh', ['net-dumpxml', names.name])).matchAll(/<host mac/g)].length,
    firewall: [...(await must('nft', ['list', 'set', 'bridge', names.table, 'vms'])).matchAll(/52:54:00/g)].length,
    taps: (await must('ip', ['-o', 'link'])).split('\n').filter((line) => line.includes(names.tapPrefix)).length,
  }
}

/** Kills the daemon at a fault point of a command that a caller waits for. */
async function cutAt(point: string, ...args: string[]): Promise<void> {
  const done = await croft.cutAt(point, ...args)
  expect(done).toMatchObject({ code: 5, stderr: expect.stringContaining('croftd ended') })
}

const points = (kind: string) => faultPoints.filter((point) => point.startsWith(`${kind}.`))

test('there is a fault point at every step', () => {
  expect(faultPoints.length).toBeGreaterThan(15)
  const here = ['new', 'rm', 'rename', 'resize', 'image-build', 'collect']
  // fork-faults.test.ts, layers.test.ts, memory-layers.test.ts, spares.test.ts, doze.test.ts, backup.test.ts
  const forks = ['checkpoint', 'restore', 'sleep', 'wake', 'golden', 'spare', 'claim']
  const elsewhere = [...forks, 'merge', 'compress', 'base', 'proof', 'doze', 'adopt']
  expect(new Set(faultPoints.map((point) => point.split('.')[0]))).toEqual(new Set([...here, ...elsewhere]))
})

describe('cut off', () => {
  test.each(points('new'))('at %s, a new VM has never been', async (point) => {
    const before = await traces()
    // The boot itself is cut off as it begins; a VM that is not started goes through the same steps.
    await cutAt(point, 'new', 'cut', '--stopped')
    expect(await traces()).toEqual(before)
    await croft.do('new', 'cut', '--stopped')
    await croft.do('rm', 'cut', '--yes')
  })

  test('while its guest boots, a new VM has never been', async () => {
    const before = await traces()
    const making = croft.run(['new', 'cut'])
    await vi.waitFor(async () => expect(await traces()).toMatchObject({ taps: 1 }), { timeout: 30_000 })
    await croft.kill()
    await making
    await croft.start()
    expect(await traces()).toEqual(before)
  })

  test.each(points('rm'))('at %s, a deleted VM is gone', async (point) => {
    const before = await traces()
    await croft.do('new', 'cut', '--stopped')
    await cutAt(point, 'rm', 'cut', '--yes')
    expect(await traces()).toEqual(before)
  })

  test.each(points('rename'))('at %s, a renamed VM has its new name', async (point) => {
    await croft.do('new', 'old', '--stopped')
    await cutAt(point, 'rename', 'old', 'fresh')
    const after = await traces()
    expect(after).toMatchObject({ vms: [{ name: 'fresh', phase: 'ready' }], operations: {} })
    const vm = Object.values((await croft.state()).vms)[0]!
    expect(await must('virsh', ['dumpxml', `croft-${vm.id}`])).toContain('<title>fresh</title>')
    await croft.do('rm', 'fresh', '--yes')
  })

  test.each(points('resize'))('at %s, a resized VM has its new size', async (point) => {
    await croft.do('new', 'cut', '--stopped')
    await cutAt(point, 'resize', 'cut', '--disk', '90G', '--cpu', '2')
    expect(await traces()).toMatchObject({ vms: [{ name: 'cut', disk: 90 }], operations: {} })
    const vm = Object.values((await croft.state()).vms)[0]!
    const { file } = (await croft.state()).layers[vm.disk]!
    const info = JSON.parse(await must('qemu-img', ['info', '--output=json', join(croft.folder, file)]))
    expect(info['virtual-size']).toBe(90 * 2 ** 30)
    expect(await must('virsh', ['dumpxml', `croft-${vm.id}`])).toMatch(/<vcpu[^>]*>2</)
    await croft.do('rm', 'cut', '--yes')
  })

  test.each(points('image-build'))('at %s, the image is as it was', async (point) => {
    const before = await traces()
    await cutAt(point, 'image', 'build', 'tiny')
    expect(await traces()).toEqual(before)
  })

  test('in the middle of a recipe, the image is as it was and the recipe has ended', async () => {
    const before = await traces()
    const building = croft.run(['image', 'build', 'endless'])
    const marker = join(croft.folder, 'building')
    await vi.waitFor(async () => must('cat', [join(marker, (await readdir(marker))[0]!, 'started')]), {
      timeout: 10_000,
    })
    await croft.kill()
    await building
    await croft.start()
    expect(await traces()).toEqual(before)
    expect((await must('ps', ['-e', '-o', 'args'])).includes('recipes/endless/build')).toBe(false)
  })

  test('by Ctrl-C in the middle of a recipe, the image is as it was and the recipe has ended', async () => {
    const before = await traces()
    expect(await croft.interrupt(2000, ['image', 'build', 'endless'])).toMatchObject({
      code: 130,
      stderr: expect.stringMatching(/being undone[\s\S]*The change is rolled back\.\n$/),
    })
    expect(await traces()).toEqual(before)
    expect((await must('ps', ['-e', '-o', 'args'])).includes('recipes/endless/build')).toBe(false)
  })

  test.each(points('collect'))('at %s, a removed image is gone', async (point) => {
    const before = await traces()
    await croft.do('image', 'build', 'tiny')
    await cutAt(point, 'image', 'rm', 'tiny', '--yes')
    expect(await traces()).toEqual(before)
  })
})

test('a build that fails leaves the old one, and says why', async () => {
  await croft.do('image', 'build', 'tiny')
  const before = await traces()
  const failed = await croft.run(['image', 'build', 'broken'])
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('this recipe is broken') })
  expect(await traces()).toEqual(before)
  await croft.do('image', 'rm', 'tiny', '--yes')
})

test('a domain that was undefined by hand comes back', async () => {
  await croft.do('new', 'back', '--stopped')
  const vm = Object.values((await croft.state()).vms)[0]!
  await must('virsh', ['-q', 'undefine', `croft-${vm.id}`])
  await croft.kill('SIGTERM')
  await croft.start()
  expect(await must('virsh', ['-q', 'list', '--all', '--name'])).toContain(vm.id)
  await croft.do('rm', 'back', '--yes')
})

test('a second daemon on the same state folder is refused', async () => {
  const second = await program(process.execPath, ['daemon/main.ts', '--config', join(croft.folder, 'config.json')])
  expect(second.code).toBe(1)
  expect(second.stderr).toContain('Another croftd is using this state folder')
})
