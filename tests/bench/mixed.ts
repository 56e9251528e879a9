import { readMemory } from '../../daemon/adapters/kernel/load.ts'
import { startCroft } from '../lib/croft.ts'
import { type Figure, timed } from './figures.ts'
import { daemonPercent, settleMs } from './memory.ts'

const counts = (process.env.CROFT_BENCH_MIXED ?? '300,100,50').split(',').map(Number)
const listings = 20

/** A box as people have it: most VMs asleep, some dozing, some awake. What it takes while nobody uses them, and knocks. */
export async function mixedFigures(): Promise<Figure[]> {
  const [asleep = 0, dozing = 0, awake = 0] = counts
  await using croft = await startCroft({ config: { defaults: { memoryMiB: 512 } } })
  const before = await readMemory()
  await croft.do('new', 'sleeper')
  await croft.do('sleep', 'sleeper')
  for (let i = 1; i < asleep; i++) await croft.ask('cp', { vm: 'sleeper', name: `s${i}` })
  console.info(`${asleep} asleep`)
  const up = async (name: string) => {
    await croft.ask('new', { name })
    await croft.ask('sleep', { vm: name, after: 'never' })
  }
  for (let i = 0; i < dozing; i++) await up(`d${i}`)
  console.info(`${dozing} more awake`)
  for (let i = 0; i < awake; i++) await up(`w${i}`)
  for (let i = 0; i < dozing; i++) await croft.ask('sleep', { vm: `d${i}`, doze: true })
  console.info(`of them ${dozing} doze`)
  const percent = await daemonPercent(croft, settleMs)
  const after = await readMemory()
  const lists: number[] = []
  for (let i = 0; i < listings; i++) lists.push(await timed(() => croft.do('ls')))
  const knocks: number[] = []
  for (let i = 0; i < Math.min(dozing, listings); i++)
    knocks.push(await timed(() => croft.ask('wake', { vm: `d${i}` })))
  const words = `${asleep} asleep, ${dozing} dozing, ${awake} awake`
  return [
    {
      what: `${words}: memory of the box`,
      unit: 'MB',
      values: [(before.available - after.available) / 1e6],
    },
    { what: 'CPU of the daemon and its children, of one core', unit: '%', values: [percent], aim: 2 },
    { what: '`croft ls`', unit: 'ms', values: lists },
    { what: '`wake` of one that dozes', unit: 'ms', values: knocks },
  ]
}
