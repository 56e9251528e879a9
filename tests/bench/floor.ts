import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { runScript } from '../../daemon/adapters/guest/agent.ts'
import { openSaveImage } from '../../daemon/adapters/libvirt/memory/load.ts'
import { Firewall } from '../../daemon/adapters/network/firewall.ts'
import { parseSubnet } from '../../daemon/core/vm/identity.ts'
import { noRates, type Vm } from '../../daemon/store/index.ts'
import { type Croft, cache, names } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'
import { firstSsh, introduction } from './guest-steps.ts'

const ip = names.subnet.replace('0.0/16', '250.2')
const vm = { id: 'vm_benchfloor', mac: '52:54:00:be:bc:02', ip, rates: noRates } as Vm
const tap = `${names.tapPrefix}benchfloor`

export interface Times {
  /**
   * Milliseconds from the start until the agent answers and the guest knows who it is, and until the first SSH command
   * has run.
   */
  usable: number
  ssh: number
}

/**
 * The least that a fork can take: QEMU alone, started by hand with the devices that libvirt gave a fork, loads the same
 * stream from the file over the same memory base, and goes through the same steps in the guest. Overlay, tap, firewall and keys are made
 * beforehand and don't count.
 * @param model a running fork whose QEMU command line is reused @param memory the save image that it was made from
 */
export async function prepareFloor(croft: Croft, model: string, memory: string): Promise<() => Promise<Times>> {
  const { vms, layers } = await croft.state()
  const twin = Object.values(vms).find((each) => each.name === model)!
  const disk = layers[twin.disk]!
  const path = (layer: { file: string }) => join(croft.folder, layer.file)
  const pid = await qemuPid(twin)
  const words = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1)
  const variables = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0').map((each) => each.split(/=(.*)/s))
  // The memory base that the fork maps, and the library that maps it.
  const { LD_PRELOAD, CROFT_MEMORY_BASE } = Object.fromEntries(variables)
  const env = { ...process.env, LD_PRELOAD, CROFT_MEMORY_BASE }
  const { streamOffset } = await openSaveImage(memory)
  return async () => {
    const folder = await mkdtemp(join(cache, 'floor-'))
    const firewall = new Firewall({ ...names, subnet: parseSubnet(names.subnet), web: false })
    const key = join(folder, 'key')
    let qemu: ChildProcess | undefined
    try {
      await must('qemu-img', [
        'create',
        '-q',
        '-f',
        'qcow2',
        '-b',
        path(layers[disk.parent!]!),
        '-F',
        'qcow2',
        join(folder, 'disk'),
      ])
      await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
      await must('ip', ['tuntap', 'add', tap, 'mode', 'tap'])
      await must('ip', ['link', 'set', tap, 'master', names.bridge, 'up'])
      await firewall.add(vm)
      const script = await introduction(key, vm, false)
      const stream = openSync(memory, 'r')
      readSync(stream, Buffer.alloc(streamOffset), 0, streamOffset, null) // QEMU reads on from there
      const args = [
        ...alone(words.slice(1), folder, path(disk), twin.mac),
        ...['-qmp', `unix:${folder}/monitor,server=on,wait=off`],
      ]
      const began = performance.now()
      qemu = spawn(words[0]!, args, { env, stdio: ['ignore', 'ignore', 'inherit', stream] })
      closeSync(stream)
      await runOnceLoaded(join(folder, 'monitor'))
      const agent = await JsonSocket.open(join(folder, 'agent'))
      await agent.call({ execute: 'guest-ping' })
      const done = await runScript((_, command) => agent.call(command), vm.id, script)
      if (done.code !== 0) throw new Error(done.stderr)
      const usable = performance.now() - began
      await firstSsh(key, vm.ip)
      return { usable, ssh: performance.now() - began }
    } finally {
      if (qemu?.kill('SIGKILL')) await once(qemu, 'exit')
      await firewall.remove(vm)
      await program('ip', ['link', 'delete', tap])
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/**
 * Returns libvirt's command line without what only libvirt can provide: descriptors become paths, the monitor and its
 * secret go.
 */
function alone(words: readonly string[], folder: string, disk: string, mac: string): string[] {
  const out: string[] = []
  for (let i = 0; i < words.length; i++) {
    const [word, value = ''] = [words[i]!, words[i + 1]]
    if (word === '-S') continue
    if (!/^-(object|chardev|mon|netdev|add-fd|name|incoming|blockdev|device|sandbox|msg)$/.test(word)) {
      out.push(word)
      continue
    }
    i++
    if (word === '-name') out.push(word, 'croft-bench-floor')
    else if (word === '-incoming') out.push(word, 'fd:3')
    else if (/masterKey0|charmonitor/.test(value) || word === '-add-fd') continue
    else if (value.includes('id=charserial0')) out.push(word, 'null,id=charserial0')
    else if (value.includes('id=charchannel0'))
      out.push(word, `socket,id=charchannel0,path=${folder}/agent,server=on,wait=off`)
    else if (word === '-netdev') out.push(word, `tap,id=hostnet0,ifname=${tap},script=no,downscript=no`)
    else out.push(word, value.replaceAll(disk, join(folder, 'disk')).replace(mac, vm.mac))
  }
  return out
}

/** Resumes a guest by its monitor: one that was paused when it was saved is paused after loading. */
async function runOnceLoaded(path: string): Promise<void> {
  const monitor = await JsonSocket.open(path)
  await monitor.call({ execute: 'qmp_capabilities' })
  while (((await monitor.call({ execute: 'query-status' })) as { status: string }).status === 'inmigrate')
    await delay(5)
  await monitor.call({ execute: 'cont' })
}

/** The guest agent's channel, or QEMU's monitor, used without libvirt: a line of JSON each way. */
class JsonSocket {
  readonly #socket: Socket
  readonly #answers: ((line: string) => void)[] = []

  private constructor(socket: Socket) {
    this.#socket = socket
    createInterface({ input: socket }).on('line', (line) => {
      // The monitor also sends a greeting and events.
      if (/^{"(return|error)"/.test(line)) this.#answers.shift()?.(line)
    })
  }

  static async open(path: string): Promise<JsonSocket> {
    for (;;) {
      const socket = connect(path)
      const failed = await once(socket, 'connect').then(
        () => false,
        () => true,
      )
      if (!failed) return new JsonSocket(socket)
      await delay(5)
    }
  }

  async call(command: object): Promise<unknown> {
    const line = await new Promise<string>((resolve) => {
      this.#answers.push(resolve)
      this.#socket.write(`${JSON.stringify(command)}\n`)
    })
    const answer = JSON.parse(line)
    if (answer.error) throw new Error(answer.error.desc)
    return answer.return
  }
}
