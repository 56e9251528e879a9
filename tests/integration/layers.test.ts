import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { nextMerge } from '../../daemon/box/merge-planner.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'

/** Chains of layers are kept short in the background, and nothing that any layer shows changes by that. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft()
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** After a failed test the daemon may be down; each test begins with a running one. */
beforeEach(async () => {
  if (!croft.running) await croft.start()
})

async function vmOf(name: string) {
  return Object.values((await croft.state()).vms).find((vm) => vm.name === name)!
}

/** The files beneath a VM's disk and itself, from the top down: what they say, and what QEMU has open while it runs. */
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
      expect(nextMerge(state, (vm) => running.includes(vm.name))).toBeUndefined()
      await tidy()
    },
    { timeout: 120_000, interval: 200 },
  )
}

/** Every layer has its file and every file its layer; none is damaged, and none but the disks can be written. */
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

/** Files that a VM has written so far, by name, with the sum that their content must have. */
type Written = Map<string, string>

async function write(vm: string, file: string, written: Written, MiB = 2): Promise<void> {
  const make = `head -c ${MiB}M /dev/urandom > ${file}; echo changed at ${file} >> log; sync`
  const sums = await croft.do('exec', vm, `${make}; sha256sum ${file} log`)
  for (const line of sums.trim().split('\n')) written.set(line.split(/ +/)[1]!, line.split(' ')[0]!)
}

async function holds(vm: string, written: Written): Promise<void> {
  const list = [...written].map(([file, sum]) => `${sum}  ${file}\n`).join('')
  // What the guest keeps in memory says nothing about its disk.
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

  test('stopped, has the same', async () => {
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
