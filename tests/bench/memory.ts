import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { type Croft, startCroft } from '../lib/croft.ts'
import { cpuMs, family } from '../lib/process.ts'
import { qemuPid, sizeOf } from '../lib/qemu.ts'
import type { Figure } from './figures.ts'
import { virtInstall } from './virt-install.ts'

const forks = Number(process.env.CROFT_BENCH_FORKS ?? 20)
/** How long a VM settles before its memory is measured. */
export const settleMs = 60_000
/**
 * How many kernel passes over all pages find every identical one: it leaves pages that changed between two passes for
 * the next.
 */
export const rounds = 2
const lookMs = 500
const mostMs = 8 * 60_000
/** How long to wait to see that memory freed in a virt-install guest stays with it. */
const plainMs = 60_000

/**
 * What an idle VM takes of the box's memory, compared with one by libvirt without Croft, and how much of what a guest
 * has used comes back.
 */
export async function memoryFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  const figures: Figure[] = []
  const add = (what: string, unit: Figure['unit'], ...values: number[]) => {
    figures.push({ what, unit, values })
    console.info(what, values.map((value) => value.toFixed(1)).join(', '), unit)
  }
  await virtInstall(croft, async (pid, run) => {
    await delay(settleMs)
    add('idle VM by virt-install (PSS)', 'MB', (await sizeOf(pid)).pss)
    await comesBack({ pid, run, mostMs: plainMs }, { ...allocates, what: `${allocates.what}, by virt-install` }, add)
  })
  await croft.do('new', 'cold', '--cold')
  await delay(settleMs)
  add('idle VM that has booted (PSS)', 'MB', await pssOf(croft, 'cold'))
  await croft.do('rm', 'cold', '--yes')

  const names = Array.from({ length: forks }, (_, i) => `fork-${String.fromCharCode(97 + i)}`)
  for (const name of names) {
    await croft.do('new', name)
    await croft.do('sleep', name, '--after', 'never')
  }
  await delay(settleMs)
  const all = () => Promise.all(names.map((name) => pssOf(croft, name)))
  add(`idle forks, each of ${forks} (PSS)`, 'MB', ...(await all()))
  const percent = await daemonPercent(croft, settleMs)
  add(`CPU of the daemon and its children beside ${forks} VMs, of one core`, '%', percent)
  await croft.do('box', 'ksm', 'on')
  try {
    const began = performance.now()
    await scanned(1 + rounds)
    add('… until KSM has found what is the same', 's', (performance.now() - began) / 1000)
    add('… with KSM (PSS)', 'MB', ...(await all()))
  } finally {
    await croft.do('box', 'ksm', 'off')
  }
  for (const name of names.slice(1)) await croft.do('rm', name, '--yes')
  const vm = names[0]!
  const pid = await qemuPid(await croft.ask('show', { vm }))
  const run = (script: string) => croft.do('exec', vm, `sudo sh -c '${script}'`)
  for (const use of [allocates, reads]) await comesBack({ pid, run, mostMs }, use, add)
  return figures
}

/** Waits until KSM has made this many more passes over all pages. */
export async function scanned(times: number): Promise<void> {
  const scans = async () => Number(await readFile('/sys/kernel/mm/ksm/full_scans', 'utf8'))
  const first = await scans()
  while ((await scans()) < first + times) await delay(lookMs)
}

/** The CPU time of the daemon and its lasting children over some time, in percent of one core. */
export async function daemonPercent(croft: Croft, ms: number): Promise<number> {
  const read = async () =>
    new Map(await Promise.all((await family(croft.pid)).map(async (pid) => [pid, await cpuMs([pid])] as const)))
  const [before, began] = [await read(), performance.now()]
  await delay(ms)
  const [after, ended] = [await read(), performance.now()]
  const took = [...after].reduce((sum, [pid, time]) => sum + time - (before.get(pid) ?? time), 0)
  return (100 * took) / (ended - began)
}

interface Use {
  what: string
  /** Scripts, run as root: the preparation, and the use. */
  before: string
  script: string
}
const allocates: Use = {
  what: '1 GB that a guest allocated and freed',
  before: 'true',
  script: 'python3 -c "x = bytearray(1 << 30); x[::4096] = bytes(1) * len(x[::4096])"',
}
const reads: Use = {
  what: '1 GB of files that a guest read',
  before: 'head -c 1G /dev/urandom > /root/big; sync; echo 3 > /proc/sys/vm/drop_caches',
  script: 'cat /root/big > /dev/null',
}

/** How much of the memory that a guest has used comes back to the box, and how soon nine tenths of that do. */
async function comesBack(
  { pid, run, mostMs }: { pid: number; run: (script: string) => Promise<unknown>; mostMs: number },
  { what, before, script }: Use,
  add: (what: string, unit: 'MB' | 's', value: number) => void,
): Promise<void> {
  const rss = async () => (await sizeOf(pid)).rss
  await run(before)
  // The governor makes idle VMs give back their page cache; a pinned VM is as idle as others.
  await delay(settleMs)
  const least = await rss()
  let most = 0
  let under = true
  const running = run(script).finally(() => {
    under = false
  })
  while (under) {
    most = Math.max(most, await rss())
    await delay(50)
  }
  await running
  const samples: { at: number; mb: number }[] = []
  const began = performance.now()
  let lowest = most
  let quietSince = began
  // Until nothing has come back for a minute, once most of it has.
  while (
    performance.now() - began < mostMs &&
    (performance.now() - quietSince < 60_000 || lowest > least + (most - least) / 2)
  ) {
    await delay(lookMs)
    const mb = await rss()
    samples.push({ at: (performance.now() - began) / 1000, mb })
    if (mb < lowest - 1) {
      lowest = mb
      quietSince = performance.now()
    }
  }
  const mark = most - 0.9 * (most - lowest)
  add(`${what}: taken`, 'MB', most - least)
  add('… come back', 'MB', most - lowest)
  if (lowest < most) add('… nine tenths of that after', 's', samples.find(({ mb }) => mb <= mark)?.at ?? Number.NaN)
}

export const pssOf = async (croft: Croft, name: string): Promise<number> =>
  (await sizeOf(await qemuPid(await croft.ask('show', { vm: name })))).pss
