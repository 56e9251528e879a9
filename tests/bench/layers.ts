import { readFile, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type Croft, startCroft } from '../lib/croft.ts'
import { withoutBases } from '../lib/memory-base.ts'
import { qemuPid, sizeOf } from '../lib/qemu.ts'
import { compressed, memoryOf, work } from './asleep.ts'
import { type Figure, timed } from './figures.ts'

const forks = Number(process.env.CROFT_BENCH_FORKS ?? 20)
const rounds = 5
/** How long VMs settle before their memory is measured. */
export const settleMs = 20_000
const memoryMiB = Number(process.env.CROFT_BENCH_MEMORY_MIB ?? 512)

/** What forks cost and how soon they are there: with a memory base that all map, and with copies of its memory. */
export async function layerFigures(): Promise<Figure[]> {
  return [...(await figuresOf(true, 'mapped')), ...(await figuresOf(false, 'copied'))]
}

async function figuresOf(memoryLayers: boolean, words: string): Promise<Figure[]> {
  const figures: Figure[] = []
  const add = (what: string, unit: Figure['unit'], values: number[]) => {
    figures.push({ what: `${words}: ${what}`, unit, values })
    console.info(words, what, values.map((value) => value.toFixed(1)).join(', '), unit)
  }
  await using croft = await startCroft({ config: { memoryLayers, defaults: { memoryMiB } } })
  if (!memoryLayers) {
    await croft.kill('SIGTERM')
    await withoutBases(croft)
    await croft.start()
  }
  const names = Array.from({ length: forks }, (_, i) => `f${i}`)
  const took: number[] = []
  for (const name of names) took.push(await timed(() => croft.ask('new', { name })))
  await delay(settleMs)
  add('`new` → usable', 'ms', took)
  const all = await Promise.all(names.map((name) => sizesOf(croft, name)))
  const [first, last] = [all[0]!, all.at(-1)!]
  add('PSS of the first fork', 'MB', [first.pss])
  add(
    `PSS of each of ${forks}`,
    'MB',
    all.map(({ pss }) => pss),
  )
  add(
    `private bytes of each of ${forks}`,
    'MB',
    all.map(({ own }) => own),
  )
  add('private bytes of the last, by the emulator’s code', 'MB', [last.code])

  const sleeps = { wake: [] as number[], bytes: [] as number[] }
  const worked = { wake: [] as number[], bytes: [] as number[] }
  await croft.do('exec', 'f1', work)
  for (let round = 0; round < rounds; round++) {
    for (const [name, into] of [
      ['f0', sleeps],
      ['f1', worked],
    ] as const) {
      await croft.ask('sleep', { vm: name })
      await compressed(croft, name)
      into.bytes.push((await stat(await memoryOf(croft, name))).blocks * 512e-6)
      into.wake.push(await timed(() => croft.ask('wake', { vm: name })))
    }
  }
  add('asleep, has done nothing: disk', 'MB', sleeps.bytes)
  add('asleep, has worked: disk', 'MB', worked.bytes)
  add('has done nothing: `wake` → usable', 'ms', sleeps.wake)
  add('has worked: `wake` → usable', 'ms', worked.wake)
  await delay(settleMs)
  add('PSS of one that has worked, slept and woken', 'MB', [(await sizesOf(croft, 'f1')).pss])

  const copies: number[] = []
  for (let round = 0; round < rounds; round++) {
    copies.push(await timed(() => croft.ask('cp', { vm: 'f1', name: `c${round}` })))
    // A memory base of its own is made after the second.
    await delay(3000)
  }
  await delay(settleMs)
  add('`cp` of one that has worked → usable', 'ms', copies)
  const copied = await Promise.all(copies.map((_, round) => sizesOf(croft, `c${round}`)))
  add(
    'private bytes of its copies, in order',
    'MB',
    copied.map(({ own }) => own),
  )
  return figures
}

/** In MB. `code`: what the emulator has translated, which no guest under KVM has. */
export async function sizesOf(croft: Croft, name: string): Promise<{ pss: number; own: number; code: number }> {
  const pid = await qemuPid(await croft.ask('show', { vm: name }))
  const [{ pss }, rollup, smaps] = await Promise.all([
    sizeOf(pid),
    readFile(`/proc/${pid}/smaps_rollup`, 'utf8'),
    readFile(`/proc/${pid}/smaps`, 'utf8'),
  ])
  const KiB = (text: string, key: string) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  const own = (KiB(rollup, 'Private_Dirty') + KiB(rollup, 'Private_Clean')) * 1.024e-3
  const code = smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((map) => /^\S+ rwxp /.test(map))
    .reduce((sum, map) => sum + KiB(map, 'Rss') * 1.024e-3, 0)
  return { pss, own, code }
}
