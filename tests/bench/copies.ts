import { join } from 'node:path'
import { type Croft, startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'
import { qemuPid, sizeOf, watchPauses } from '../lib/qemu.ts'
import { type Figure, timed } from './figures.ts'
import { firstSsh } from './guest-steps.ts'

const rounds = 3
const many = 20

/** Many at the same time, copies of running VMs, sleep and wake, and what the 1st and the 20th fork cost the box. */
export async function copyFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  return [...(await copies(croft)), ...(await naps(croft)), ...(await crowd(croft))]
}

/** `cp` of a VM that uses this much memory: how long the source is paused, and when the copy first answers. */
async function copies(croft: Croft): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const [megabytes, words] of [
    [0, '`cp` of a running VM'],
    [800, '`cp` of a running VM with 800 MB more in use'],
  ] as const) {
    const pause: Figure = { what: `${words}: pause of the source`, unit: 'ms', values: [] }
    const answer: Figure = { what: `${words} → usable`, unit: 'ms', values: [] }
    await croft.do('new', 'source', '--memory', '2G')
    if (megabytes) {
      // Random and held by a process, so that it can be neither compressed nor shared.
      const fill = `import os,time; kept=os.urandom(${megabytes}*10**6); open("full","w"); time.sleep(10**6)`
      await croft.do(
        'exec',
        'source',
        `nohup python3 -c '${fill}' > /dev/null 2>&1 & until [ -e full ]; do sleep 0.2; done`,
      )
    }
    for (let round = 0; round < rounds; round++) {
      const { stop } = watchPauses(await croft.ask('show', { vm: 'source' }))
      answer.values.push(await timed(() => croft.ask('cp', { vm: 'source', name: 'copy' })))
      pause.values.push(Math.max(...(await stop()).map(({ ms }) => ms)))
      await croft.do('rm', 'copy', '--yes')
    }
    await croft.do('rm', 'source', '--yes')
    figures.push(pause, answer)
  }
  return figures
}

async function naps(croft: Croft): Promise<Figure[]> {
  const asleep: Figure = { what: '`sleep`', unit: 'ms', values: [] }
  const awake: Figure = { what: '`wake` → usable', unit: 'ms', values: [] }
  const ssh: Figure = { what: '`wake` → first SSH command', unit: 'ms', values: [] }
  await croft.do('new', 'sleeper')
  const { address } = await croft.ask('show', { vm: 'sleeper' })
  for (let round = 0; round < rounds; round++) {
    asleep.values.push(await timed(() => croft.ask('sleep', { vm: 'sleeper' })))
    const began = performance.now()
    await croft.ask('wake', { vm: 'sleeper' })
    awake.values.push(performance.now() - began)
    await firstSsh(join(croft.folder, 'keys/daemon_ed25519'), address)
    ssh.values.push(performance.now() - began)
  }
  await croft.do('rm', 'sleeper', '--yes')
  return [asleep, awake, ssh]
}

async function crowd(croft: Croft): Promise<Figure[]> {
  const names = Array.from({ length: many }, (_, i) => `crowd-${String.fromCharCode(97 + i)}`)
  await croft.do('new', names[0]!)
  const first = await costs(croft)
  const whole = await timed(() => Promise.all(names.slice(1).map((name) => croft.ask('new', { name }))))
  const all = await costs(croft)
  const megabytes = (what: string, values: number[]): Figure => ({ what, unit: 'MB', values })
  return [
    { what: `${many - 1} \`croft new\` at once, all usable`, unit: 's', values: [whole / 1000] },
    { what: '… per VM', unit: 'ms', values: [whole / (many - 1)] },
    megabytes('memory of the 1st fork (PSS)', [first.memory]),
    megabytes(`memory of each of ${many} forks (PSS)`, [all.memory / many]),
    megabytes('disk of the 1st fork (allocated)', [first.disk]),
    megabytes(`disk of each of ${many} forks (allocated)`, [all.disk / many]),
  ]
}

/** What all VMs together take of the box, in MB: their QEMUs' proportional memory, their disks' blocks. */
async function costs(croft: Croft): Promise<{ memory: number; disk: number }> {
  const { vms, layers } = await croft.state()
  let memory = 0
  let disk = 0
  for (const vm of Object.values(vms)) {
    memory += (await sizeOf(await qemuPid(vm))).pss
    disk += Number(await must('stat', ['-c', '%b', join(croft.folder, layers[vm.disk]!.file)])) * 512e-6
  }
  return { memory, disk }
}
