import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { performance } from 'node:perf_hooks'
import { sshArgs } from '../../daemon/adapters/guest/ssh.ts'
import { startReached } from '../lib/gateway.ts'
import { type Figure, median } from './figures.ts'

const rounds = 9
const bytes = Number(process.env.CROFT_BENCH_BYTES ?? 512 * 10 ** 6)

/** SSH through the gateway compared with OpenSSH directly to the same VM: time to the first output, and throughput. */
export async function sshFigures(): Promise<Figure[]> {
  await using reached = await startReached()
  const { croft, laptop } = reached
  await croft.do('new', 'web')
  const vm = Object.values((await croft.state()).vms).find(({ name }) => name === 'web')!
  const ways = {
    direct: sshArgs(croft.folder, vm, 'dev'),
    'through the gateway': [...laptop.settings, 'web@box'],
  }
  const first: Record<string, number[]> = { direct: [], 'through the gateway': [] }
  const rate: Record<string, number[]> = { direct: [], 'through the gateway': [] }
  const run = async (args: string[], command: string): Promise<number> => {
    const began = performance.now()
    const child = spawn('ssh', [...args, command], { stdio: ['ignore', 'pipe', 'ignore'] })
    let got = 0
    child.stdout.on('data', (chunk: Buffer) => {
      got += chunk.length
    })
    const [code] = await once(child, 'close')
    if (code !== 0 || got === 0) throw new Error(`${command} ended with ${code}, after ${got} bytes`)
    return performance.now() - began
  }
  for (let round = 0; round <= rounds; round++)
    for (const [way, args] of Object.entries(ways)) {
      const ms = await run(args, 'echo there')
      if (round > 0) first[way]!.push(ms)
    }
  for (let round = 0; round < 3; round++)
    for (const [way, args] of Object.entries(ways)) {
      const ms = (await run(args, `head -c ${bytes} /dev/zero`)) - median(first[way]!)
      rate[way]!.push(bytes / 10 ** 6 / (ms / 1000))
    }
  return [
    ...Object.entries(first).map(
      ([way, values]): Figure => ({ what: `SSH ${way} → first output`, unit: 'ms', values }),
    ),
    ...Object.entries(rate).map(
      ([way, values]): Figure => ({ what: `MB from the VM by SSH ${way}`, unit: '/s', values }),
    ),
  ]
}
