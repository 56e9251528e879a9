import { setTimeout as delay } from 'node:timers/promises'
import { readMemory } from '../../daemon/adapters/kernel/load.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { sizeOf } from '../lib/qemu.ts'
import { type Figure, median, timed } from './figures.ts'
import { daemonPercent, pssOf, rounds, scanned, settleMs } from './memory.ts'
import { virtInstall } from './virt-install.ts'

/** After this many VMs the usual time is known. */
const usualOf = 5
/** This many are made between two that are measured. */
const between = 9
/**
 * A guest that has just come up takes several times its idle CPU, so the next measurement waits for that to end, up to
 * a limit.
 */
const quietPercent = 60
const patienceMs = Number(process.env.CROFT_BENCH_PATIENCE_MS ?? 180_000)

/**
 * How many idle VMs of the usual kind can be awake at the same time, until one more takes twice the usual time or is
 * refused. Every tenth is measured, when those before it have come to rest.
 * @param ksm whether the kernel merges identical pages
 */
export async function densityFigures(ksm: boolean): Promise<Figure[]> {
  await using croft = await startCroft()
  const names: string[] = []
  await using _ = {
    async [Symbol.asyncDispose]() {
      if (!ksm) return
      // With its own pages for each again, there would be no room for all of them.
      for (const vm of names) await croft.ask('rm', { vm, yes: true })
      await croft.do('box', 'ksm', 'off')
    },
  }
  if (ksm) await croft.do('box', 'ksm', 'on')
  await croft.do('new', 'first')
  await croft.do('rm', 'first', '--yes')
  const another = async (): Promise<number> => {
    const name = `d-${String.fromCharCode(97 + (names.length % 26))}${Math.floor(names.length / 26)}`
    const ms = await timed(() => croft.ask('new', { name }))
    names.push(name)
    // Idle, but never put to sleep: the question is how many can be awake.
    await croft.ask('sleep', { vm: name, after: 'never' })
    return ms
  }
  const took: number[] = []
  /** Measures one more VM, then adds those in between. @returns why no more are possible */
  const more = async (): Promise<string | undefined> => {
    await quiet(croft)
    const ms = await another()
    took.push(ms)
    const { memory, memoryUsedBytes, cpuPercent } = await croft.ask('stat')
    console.info(
      `| ${names.length} | ${Math.round(ms)} ms | ${(memoryUsedBytes / 1e9).toFixed(1)} GB | ${Math.round(cpuPercent)} % | ${memory.level} |`,
    )
    if (took.length <= usualOf) return
    const usual = median(took.slice(0, usualOf))
    const last = took.slice(-2)
    if (last.every((each) => each > 2 * usual))
      return `the last two took ${last.map(Math.round).join(' and ')} ms, of usually ${Math.round(usual)}`
    for (let left = between; left > 0; left--) await another()
  }
  let stopped: string | undefined
  let atRefusal = -1
  while (!stopped) {
    try {
      stopped = await more()
    } catch (error) {
      if (!ksm || names.length === atRefusal) stopped = String(error)
      else {
        console.info(`${names.length}: refused; until the kernel has looked at every page twice more`)
        await scanned(rounds)
        atRefusal = names.length
      }
    }
  }
  console.info(`it ended with ${names.length}: ${stopped}`)
  const percent = await daemonPercent(croft, settleMs)
  const { memory, cpuPercent } = await croft.ask('stat')
  console.info(`a minute later: CPU ${Math.round(cpuPercent)} %, ${memory.level}: ${memory.reason}`)
  const pss = async (name: string | undefined) => (name === undefined ? [] : [await pssOf(croft, name)])
  const count: Figure = { what: 'idle VMs awake at once', unit: 'VMs', values: [names.length], least: 150 }
  return [
    count,
    { what: '`croft new` among them → usable', unit: 'ms', values: took },
    {
      what: 'CPU of the daemon and its children beside them, of one core',
      unit: '%',
      values: [percent],
      aim: 2,
    },
    { what: 'memory of the 1st of them (PSS)', unit: 'MB', values: await pss(names[0]) },
    { what: '… of the 20th', unit: 'MB', values: await pss(names[19]) },
    { what: '… of the last', unit: 'MB', values: await pss(names.at(-1)) },
  ].filter(({ values }) => values.length > 0) as Figure[]
}

/**
 * The same for domains by virt-install, of the same image, without Croft. libvirt refuses none, so they are counted
 * until the box has less memory left than the last one took.
 */
export async function plainDensityFigures(): Promise<Figure[]> {
  await using croft = await startCroft({ config: { spares: 0 } })
  const took: number[] = []
  const pids: number[] = []
  const sizes: number[] = []
  const more = async (): Promise<void> => {
    const { available: before } = await readMemory()
    took.push(
      await virtInstall(
        croft,
        async (pid) => {
          pids.push(pid)
          await quiet(croft)
          const { available } = await readMemory()
          console.info(`${pids.length}: ${Math.round(available / 1e6)} MB available`)
          if (available > 1.5 * (before - available)) return more()
          await delay(settleMs)
          for (const each of [pids[0], pids.at(-1)]) sizes.push((await sizeOf(each!)).pss)
        },
        pids.length + 1,
      ),
    )
  }
  await more()
  return [
    { what: 'idle domains by virt-install at once', unit: 'VMs', values: [pids.length] },
    { what: 'virt-install among them → first SSH command', unit: 'ms', values: took },
    { what: 'memory of the 1st and the last of them (PSS)', unit: 'MB', values: sizes },
  ]
}

async function quiet(croft: Croft): Promise<void> {
  const late = performance.now() + patienceMs
  do await delay(2000)
  while ((await croft.ask('stat')).cpuPercent > quietPercent && performance.now() < late)
}
