import { mkdir, stat, writeFile } from 'node:fs/promises'
import http from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeId, makeIdentity, parseSubnet } from '../../daemon/core/vm/identity.ts'
import { makeLayer } from '../../daemon/core/vm/record.ts'
import { noRates, type State, type Vm } from '../../daemon/store/index.ts'
import { type Croft, names, startCroft } from '../lib/croft.ts'
import { family } from '../lib/process.ts'
import { must } from '../lib/program.ts'
import { sizeOf } from '../lib/qemu.ts'
import { compressed } from './asleep.ts'
import { type Figure, median, timed } from './figures.ts'
import { daemonPercent } from './memory.ts'

const asleep = 300
/** The daemon has just read all of that, so it is measured when it has come to rest. */
const settleMs = 60_000

/**
 * A daemon with 1,000 VMs in its store, all of them defined in libvirt: 300 asleep, the others stopped. Measures its
 * size, idle CPU and speed, and whether the sleepers wake as quickly as a VM that is alone.
 */
export async function thousandFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  const figures: Figure[] = []
  figures.push({ what: '`croft version`', unit: 'ms', values: await repeated(20, () => croft.do('version')), aim: 120 })
  const alone = await wakes(croft, await sleeper(croft))
  await croft.kill('SIGTERM')
  await fill(croft, 999)
  await multiply(croft, asleep - 1)
  await croft.start()
  await allDefined(croft)
  figures.push({
    what: '`croft ls`, 1,000 VMs',
    unit: 'ms',
    values: await repeated(20, () => croft.do('ls')),
    aim: 200,
  })
  figures.push(await lsRequests(croft))
  await delay(settleMs)
  const pids = await settled(croft.pid)
  const sizes = await Promise.all(pids.map(sizeOf))
  const sum = (key: 'rss' | 'pss') => sizes.reduce((all, size) => all + size[key], 0)
  const megabytes = (what: string, value: number, aim?: number): Figure => ({
    what,
    unit: 'MB',
    values: [value],
    ...(aim && { aim }),
  })
  figures.push(megabytes('daemon, resident', sizes[0]!.rss, 150))
  figures.push(megabytes('daemon and its children, resident, what they share counted once', sum('pss'), 300))
  figures.push(megabytes('… counted for each', sum('rss')))
  figures.push({
    what: 'daemon and its children, idle: CPU of one core',
    unit: '%',
    values: [await daemonPercent(croft, 30_000)],
    aim: 0.5,
  })
  const some = ['vm-a3', 'vm-a150', 'vm-a290']
  await wakes(croft, some) // a copy must first be told that it is another VM; after that it is like any VM that has slept
  const among = await wakes(croft, some)
  figures.push({ what: '`wake` → usable, alone', unit: 'ms', values: alone })
  figures.push({ what: '… one of the 300', unit: 'ms', values: among, aim: 1.5 * median(alone) })
  figures.push(megabytes('disk of the 300, with their memory', await ofSleepers(croft)))
  return figures
}

const model = 'model'

/** Makes a sleeping VM with compressed memory, as every VM has that sleeps for a while. */
async function sleeper(croft: Croft): Promise<string[]> {
  await croft.do('new', model)
  await asleepCompressed(croft, model)
  return [model, model, model]
}

async function asleepCompressed(croft: Croft, vm: string): Promise<void> {
  await croft.do('sleep', vm)
  await compressed(croft, vm)
}

async function wakes(croft: Croft, vms: readonly string[]): Promise<number[]> {
  const took: number[] = []
  for (const vm of vms) {
    took.push(await timed(() => croft.ask('wake', { vm })))
    await asleepCompressed(croft, vm)
  }
  return took
}

/**
 * Makes this many of the filled VMs sleep as the model does, each with a copy of its memory, its disk and its host key.
 */
async function multiply(croft: Croft, count: number): Promise<void> {
  const state = await croft.state()
  const { id: modelId, memory: memoryId, disk: diskId } = Object.values(state.vms).find(({ name }) => name === model)!
  const [memory, disk] = [state.memories[memoryId!]!, state.layers[diskId]!]
  const path = (file: string) => join(croft.folder, file)
  for (const vm of Object.values(state.vms)
    .filter(({ name }) => name !== model)
    .slice(0, count)) {
    const id = makeId('mem')
    const own = { ...memory, id, file: memory.file.replace(memory.id, id) }
    const layer = { ...disk, id: vm.disk, file: state.layers[vm.disk]!.file }
    await must('cp', ['--archive', '--sparse=always', path(memory.file), path(own.file)])
    await must('cp', ['--archive', '--sparse=always', path(disk.file), path(layer.file)])
    await must('cp', ['--archive', '--no-target-directory', path(`vms/${modelId}`), path(`vms/${vm.id}`)])
    state.memories[id] = own
    state.layers[vm.disk] = layer
    state.vms[vm.id] = { ...vm, memory: id }
  }
  await writeFile(join(croft.folder, 'state.json'), JSON.stringify(state))
}

/** Megabytes. */
async function ofSleepers(croft: Croft): Promise<number> {
  const { vms, memories, layers } = await croft.state()
  const files = Object.values(vms).flatMap((vm) =>
    vm.memory ? [memories[vm.memory]!.file, layers[vm.disk]!.file] : [],
  )
  const sizes = await Promise.all(files.map((file) => stat(join(croft.folder, file))))
  return sizes.reduce((sum, { blocks }) => sum + blocks, 0) * 512e-6
}

/**
 * Adds VMs to a daemon that does not run: their records, and files in place of their disks.
 * @param vary what is different about each
 */
export async function fill(croft: Croft, count: number, vary: (i: number) => Partial<Vm> = () => ({})): Promise<void> {
  const state = await croft.state()
  const image = Object.values(state.images)[0]!
  const vms: Vm[] = Object.values(state.vms)
  const layers = Object.values(state.layers)
  for (let i = 0; i < count; i++) {
    const id = makeId('vm')
    const disk = makeLayer(image.layer, new Date().toISOString())
    layers.push(disk)
    vms.push({
      id,
      ...makeIdentity(vms, parseSubnet(names.subnet), i),
      name: `vm-a${i}`,
      image: image.id,
      disk: disk.id,
      limits: { cpus: 2, memoryMiB: 4096, diskGiB: 64 },
      env: {},
      tags: [],
      comment: '',
      createdAt: new Date(Date.now() + i).toISOString(),
      memory: null,
      dozing: false,
      checkpoint: null,
      sleepAfter: null,
      appointment: null,
      keepsAppointments: true,
      restart: 'never',
      priority: 'normal',
      rates: noRates,
      schedule: { hourly: 0, daily: 0 },
      web: { port: null, public: [] },
      phase: 'ready',
      power: 'off',
      ...vary(i),
    })
    await mkdir(join(croft.folder, 'vms', id), { recursive: true })
    await writeFile(join(croft.folder, disk.file), '')
  }
  const filled: State = {
    ...state,
    vms: Object.fromEntries(vms.map((vm) => [vm.id, vm])),
    layers: Object.fromEntries(layers.map((layer) => [layer.id, layer])),
  }
  await writeFile(join(croft.folder, 'state.json'), JSON.stringify(filled))
}

/** The first start defines a thousand domains in libvirt; measuring begins after that. */
export async function allDefined(croft: Croft): Promise<void> {
  const last = Object.values((await croft.state()).vms).at(-1)!
  while (!(await must('virsh', ['-q', 'list', '--all', '--name'])).includes(last.id)) await delay(1000)
  await delay(3000)
}

/** @returns the processes of the daemon and its children, once none of them is short-lived */
async function settled(pid: number): Promise<number[]> {
  for (let before = await family(pid); ; ) {
    await delay(5000)
    const now = await family(pid)
    if (`${now}` === `${before}`) return now
    before = now
  }
}

async function repeated(times: number, work: () => Promise<unknown>): Promise<number[]> {
  await work() // fills the compile cache
  const values: number[] = []
  for (let i = 0; i < times; i++) values.push(await timed(work))
  return values
}

async function lsRequests(croft: Croft): Promise<Figure> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const ask = () =>
    new Promise<void>((resolve, reject) => {
      const request = http.request(
        { socketPath: croft.socket, agent, method: 'POST', path: '/api/commands/ls' },
        (response) => {
          response.resume().once('end', resolve)
        },
      )
      request.on('error', reject).end('{}')
    })
  const values = await repeated(200, ask)
  agent.destroy()
  return { what: '`POST /api/commands/ls`, 1,000 VMs', unit: 'ms', values, aim: 10 }
}
