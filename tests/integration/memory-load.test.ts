import { mkdtemp, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Filter, rewrite } from '../../daemon/adapters/libvirt/memory/load.ts'
import { type Croft, cache, startCroft } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'

/** Compares memory loaded from a filtered stream with the same memory loaded as QEMU saved it, page by page. */
let croft: Croft
let folder: string
beforeAll(async () => {
  croft = await startCroft()
  folder = await mkdtemp(join(cache, 'loads-'))
  await must('chown', ['libvirt-qemu:', folder])
}, 600_000)
afterAll(async () => {
  await croft?.[Symbol.asyncDispose]()
  await rm(folder, { recursive: true, force: true })
})

const virsh = (...words: string[]) => must('virsh', ['-q', '-c', 'qemu:///system', ...words])

test.each([
  ['without its pages of zeroes', false],
  ['over a mapped memory base, without what is in that', true],
])('is the same memory %s, with what was used and freed', async (_, memoryLayers) => {
  await croft.kill('SIGTERM')
  await croft.start({}, { memoryLayers })
  await croft.do('new', 'web')
  // Pages with content, pages that had content and are zero now, and pages that were given back.
  await croft.do('exec', 'web', 'head -c 60M /dev/urandom > /dev/shm/kept; head -c 40M /dev/zero > /dev/shm/zeroes')
  await croft.do('exec', 'web', 'python3 -c "x = bytearray(b\'x\' * (100 << 20))"')
  const { id, memoryMiB } = await croft.ask('show', { vm: 'web' })
  const domain = `croft-${id}`
  const saved = join(folder, 'saved')
  await virsh('save', domain, saved)
  /** All of a guest's memory after loading, before it runs. */
  const load = async (path: string, to: string) => {
    await virsh('restore', path, '--paused')
    await virsh('qemu-monitor-command', domain, '--hmp', `pmemsave 0 ${memoryMiB * 2 ** 20} "${to}"`)
    await virsh('destroy', domain)
    expect((await stat(to)).size).toBe(memoryMiB * 2 ** 20)
  }
  const [whole, other] = [join(folder, 'whole'), join(folder, 'other')]
  await load(saved, whole)
  const stripped = join(folder, 'stripped')
  const storage = { format: 'raw', hasZeroPages: false, base: null } as const
  const [base] = Object.values((await croft.state()).memoryBases)
  const filter: Filter = memoryLayers ? ['difference', join(croft.folder, base!.file)] : ['zero-pages']
  const summary = await rewrite(saved, stripped, [filter], storage, new AbortController().signal)
  expect(summary.unknown).toBeUndefined()
  expect(summary.dropped).toBeGreaterThan(10_000)
  expect(summary.kept + summary.dropped).toBeGreaterThanOrEqual((memoryMiB * 2 ** 20) / 4096)
  await load(stripped, other)
  const differing = (await program('cmp', ['-l', whole, other])).stdout.trim().split('\n')
  const at = differing.map((line) => Number.parseInt(line, 10))
  // The generation ID, 16 bytes that tell a guest that it was loaded, is new at each load.
  expect(differing.length).toBeLessThanOrEqual(genidBytes)
  expect(Math.max(...at) - Math.min(...at)).toBeLessThan(genidBytes)
  await croft.do('rm', 'web', '--yes')
})

const genidBytes = 16
