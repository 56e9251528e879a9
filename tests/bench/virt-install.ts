import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { findQemuUser } from '../../daemon/adapters/files/files.ts'
import { runScript } from '../../daemon/adapters/guest/agent.ts'
import { tapName } from '../../daemon/adapters/libvirt/domain-xml.ts'
import { Firewall } from '../../daemon/adapters/network/firewall.ts'
import { parseSubnet } from '../../daemon/core/vm/identity.ts'
import { noRates, type Vm } from '../../daemon/store/index.ts'
import { type Croft, cache, names } from '../lib/croft.ts'
import { must, program } from '../lib/program.ts'
import { timed } from './figures.ts'
import { firstSsh, introduction } from './guest-steps.ts'

/** Of the nth that runs at the same time: its domain's name, and its identity in Croft's network and firewall. */
function plainVm(nth: number): { domain: string; vm: Vm; host: string } {
  const two = String(nth).padStart(2, '0')
  const vm = {
    id: `vm_benchben${two}`,
    mac: `52:54:00:be:bc:${two}`,
    ip: names.subnet.replace('0.0/16', `250.${nth}`),
    rates: noRates,
  } as Vm
  return { domain: `croft-bench-virt-install-${two}`, vm, host: `<host mac='${vm.mac}' ip='${vm.ip}'/>` }
}
const virsh = (...args: string[]) => must('virsh', ['-q', '-c', 'qemu:///system', ...args])

/**
 * A VM made with virt-install from the same image, on the same network, told who it is by the same script through the
 * same agent. Overlay, keys, firewall and DHCP are made beforehand and don't count.
 * @param meanwhile runs while it is up; receives its process id, and a function that runs a script in it as root
 * @param nth of those that run at the same time, 1 to 99
 * @returns milliseconds from the command to the first SSH command that works
 */
export async function virtInstall(
  croft: Croft,
  meanwhile: (pid: number, run: (script: string) => Promise<unknown>) => Promise<void> = async () => {},
  nth = 1,
): Promise<number> {
  const { domain, vm, host } = plainVm(nth)
  const folder = await mkdtemp(join(cache, 'virt-install-'))
  const firewall = new Firewall({ ...names, subnet: parseSubnet(names.subnet), web: false })
  try {
    await removeDomain(domain)
    const words = await commandLine(croft, folder, plainVm(nth))
    const key = join(folder, 'key')
    await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key])
    await firewall.add(vm)
    await virsh('net-update', names.name, 'add', 'ip-dhcp-host', host, '--live')
    const took = await timed(async () => {
      await must('virt-install', words)
      await until(() => agent(domain, { execute: 'guest-ping' }))
      await runScript(agent, domain, await introduction(key, vm, true))
      await firstSsh(key, vm.ip)
    })
    const pid = Number(await readFile(`/run/libvirt/qemu/${domain}.pid`, 'utf8'))
    await meanwhile(pid, (script) => runScript(agent, domain, script, 300_000))
    return took
  } finally {
    await removeDomain(domain)
    await program('virsh', ['-q', 'net-update', names.name, 'delete', 'ip-dhcp-host', host, '--live'])
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * The defaults of `croft new` as virt-install arguments, with files in the folder, so that none of Croft's is changed.
 */
async function commandLine(
  croft: Croft,
  folder: string,
  { domain, vm }: ReturnType<typeof plainVm>,
): Promise<string[]> {
  const { images, layers } = await croft.state()
  const image = Object.values(images)[0]!
  const base = join(croft.folder, layers[image.layer]!.file)
  const qemu = await findQemuUser()
  const [disk, kernel, initrd] = ['disk.qcow2', 'vmlinuz', 'initrd'].map((name) => join(folder, name))
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', disk!])
  await copyFile(join(croft.folder, image.kernel), kernel!)
  await copyFile(join(croft.folder, image.initrd), initrd!)
  await must('chown', [`${qemu.uid}:${qemu.gid}`, folder, disk!, kernel!, initrd!])
  return [
    `--connect=qemu:///system`,
    `--name=${domain}`,
    '--import',
    '--virt-type=qemu',
    '--osinfo=linux2022',
    '--memory=4096',
    '--vcpus=2',
    `--disk=${disk},bus=virtio`,
    `--network=network=${names.name},mac=${vm.mac},model=virtio,target.dev=${tapName(names.tapPrefix, vm)}`,
    `--boot=kernel=${kernel},initrd=${initrd},kernel_args="${image.cmdline}"`,
    '--channel=unix,target.type=virtio,name=org.qemu.guest_agent.0',
    `--seclabel=model=dac,type=static,relabel=no,label=+${qemu.uid}:+${qemu.gid}`,
    '--graphics=none',
    '--noautoconsole',
  ]
}

async function agent(of: string, command: object): Promise<unknown> {
  return JSON.parse(await virsh('qemu-agent-command', of, JSON.stringify(command), '--timeout', '5')).return
}

async function removeDomain(domain: string): Promise<void> {
  for (const verb of ['destroy', 'undefine']) await program('virsh', ['-q', '-c', 'qemu:///system', verb, domain])
}

/** virt-install has no event to wait for, so this retries for at most three minutes. */
async function until(works: () => Promise<unknown>): Promise<void> {
  const end = Date.now() + 180_000
  for (;;) {
    try {
      await works()
      return
    } catch (error) {
      if (Date.now() > end) throw error
      await delay(100)
    }
  }
}
