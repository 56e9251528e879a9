import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startCroft } from '../lib/croft.ts'
import { type Figure, timed } from './figures.ts'
import { firstSsh } from './guest-steps.ts'
import { pssOf, settleMs } from './memory.ts'

const rounds = Number(process.env.CROFT_BENCH_ROUNDS ?? 3)
const ceilings = (process.env.CROFT_BENCH_CEILINGS ?? '1G 4G 16G').split(' ')
/** Random data held by a process in the VM that is copied and put to sleep, so that it can't be compressed away. */
const usedMB = 200

/** What a VM costs in time and memory by its ceiling: the same for all if a ceiling were free. */
export async function ceilingFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  const figures: Figure[] = []
  const add = (what: string, unit: Figure['unit'], value: number) => {
    const figure = figures.find((each) => each.what === what) ?? { what, unit, values: [] }
    if (figure.values.length === 0) figures.push(figure)
    figure.values.push(value)
  }
  for (const memory of ceilings) {
    using events = await croft.events()
    await croft.do('new', 'first', '--memory', memory)
    await events.until((event) => event.type === 'image.golden', 300_000)
    await croft.do('rm', 'first', '--yes')
  }
  // In turn, so that other work on the box affects all alike.
  for (let round = 0; round < rounds; round++) {
    for (const memory of ceilings) {
      const figure = (what: string, unit: Figure['unit'], value: number) => add(`${memory}: ${what}`, unit, value)
      const began = performance.now()
      const { address } = await croft.ask('new', { name: 'web', memory })
      figure('`new` → usable', 'ms', performance.now() - began)
      await firstSsh(join(croft.folder, 'keys/daemon_ed25519'), address)
      figure('`new` → first SSH command', 'ms', performance.now() - began)
      const fill = `import os,time; kept=os.urandom(${usedMB}*10**6); open("full","w"); time.sleep(10**6)`
      await croft.do(
        'exec',
        'web',
        `nohup python3 -c '${fill}' > /dev/null 2>&1 & until [ -e full ]; do sleep 0.2; done`,
      )
      const before = await pssOf(croft, 'web')
      figure('`cp` → usable', 'ms', await timed(() => croft.ask('cp', { vm: 'web', name: 'copy' })))
      if (round === 0) {
        await croft.do('new', 'idle', '--memory', memory)
        await delay(settleMs)
        figure('memory of the source, more than before the copy (PSS)', 'MB', (await pssOf(croft, 'web')) - before)
        figure('memory of the copy (PSS)', 'MB', await pssOf(croft, 'copy'))
        figure('memory of an idle fork (PSS)', 'MB', await pssOf(croft, 'idle'))
        await croft.do('rm', 'idle', '--yes')
      }
      await croft.do('rm', 'copy', '--yes')
      figure('`sleep`', 'ms', await timed(() => croft.ask('sleep', { vm: 'web' })))
      figure('`wake` → usable', 'ms', await timed(() => croft.ask('wake', { vm: 'web' })))
      await croft.do('rm', 'web', '--yes')
    }
  }
  return figures.sort((a, b) => rank(a) - rank(b))
}

/** Puts the same figure of all ceilings side by side. */
const rank = ({ what }: Figure): number => {
  const all = ['`new` → usable', 'first SSH', '`cp`', '`sleep`', '`wake`', 'source', 'copy (', 'idle']
  const [, of = ''] = what.split(': ')
  return all.findIndex((each) => of.includes(each)) * 10 + ceilings.findIndex((each) => what.startsWith(`${each}:`))
}
