import { randomBytes } from 'node:crypto'
import { mkdir, open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Guests } from '../../core/interfaces/guests.ts'
import { boxAddress, type Subnet } from '../../core/vm/identity.ts'
import { CroftError } from '../../lib/error.ts'
import { runProgram } from '../../lib/process/run.ts'
import { plainText } from '../../lib/text/plain-text.ts'
import type { Vm } from '../../store/index.ts'
import { consoleLogPath, vmFolder } from '../libvirt/domain-xml.ts'
import { type AgentCall, runScript } from './agent.ts'
import { personalizeScript } from './personalize.ts'
import { knownHostsPath, sshArgs } from './ssh.ts'
import type { SshConnections } from './ssh-connections.ts'

export { plainText } from '../../lib/text/plain-text.ts'

export const hostKeyPath = (folder: string, vm: Vm): string => join(vmFolder(folder, vm), 'host_ed25519')

/** Returns a VM's only host key as in a line of known_hosts: type and base64. @param folder the state folder */
export async function hostKeyOf(folder: string, vm: Vm): Promise<string> {
  const [type, blob] = (await readFile(`${hostKeyPath(folder, vm)}.pub`, 'utf8')).trim().split(' ')
  return `${type} ${blob}`
}

/**
 * A booting guest's agent answers early, but on a slow box its network, which the script waits for, may take much
 * longer.
 */
const bootingMs = 180_000

/** The most failures that are reported. There can be about ten, but the guest names them, and it is not trusted. */
const mostFailures = 20

/** How far a guest's clock may be off. */
const clockMs = 100

/**
 * Corrects a guest's clock. In a busy guest a script starts late, and the time that it was given is then in the past.
 */
async function correctClock(agent: AgentCall, uuid: string): Promise<void> {
  const asked = Date.now()
  const guestMs = Number(await agent(uuid, { execute: 'guest-get-time' })) / 1e6
  const offMs = (asked + Date.now()) / 2 - guestMs
  // A relative time, because this script may start late, too; so it need not be repeated.
  if (Math.abs(offMs) > clockMs) await runScript(agent, uuid, `date -s '${(offMs / 1000).toFixed(3)} seconds'`)
}

/**
 * Makes the interface through which Croft talks to its guests.
 * @param folder the state folder @param subnet of the VMs' network
 * @param authorizedKeys returns lines of authorized_keys: the public keys that may enter a VM now
 * @param connections the SSH connections that commands share
 */
export function makeGuests(
  folder: string,
  subnet: Subnet,
  agent: AgentCall,
  authorizedKeys: (vm: Vm) => string[],
  connections: SshConnections,
): Guests {
  return {
    async personalize(vm, booted) {
      const path = hostKeyPath(folder, vm)
      const [privateKey, publicKey] = await Promise.all([readFile(path, 'utf8'), readFile(`${path}.pub`, 'utf8')])
      const script = personalizeScript({
        name: vm.name,
        machineId: vm.machineId,
        hostKey: { private: privateKey, public: publicKey },
        authorizedKeys: authorizedKeys(vm),
        env: vm.env,
        network: { mac: vm.mac, address: `${vm.ip}/${subnet.prefix}`, gateway: boxAddress(subnet) },
        booted,
        now: Date.now() / 1000,
        entropy: randomBytes(64).toString('hex'),
      })
      const result = await runScript(agent, vm.uuid, script, booted ? bootingMs : undefined)
      if (result.code !== 0) {
        const why = plainText(result.stderr).trim()
        throw new CroftError('guest-failed', `Croft couldn't set up ${vm.name}: ${why}`, {
          hint: `croft logs ${vm.name} shows its console.`,
        })
      }
      // A clock that is slightly off is no reason to fail.
      await correctClock(agent, vm.uuid).catch(() => {})
      return plainText(result.stdout).split(/\s+/).filter(Boolean).slice(0, mostFailures)
    },

    tellTime: ({ uuid }) => correctClock(agent, uuid),

    script: (uuid, script, timeoutMs) => runScript(agent, uuid, script, timeoutMs),

    async enter(vm, user) {
      const args = [...sshArgs(folder, vm, user), '-o', 'BatchMode=yes', '-T', '--', 'true']
      await runProgram('ssh', args).catch((cause) => {
        throw new CroftError('guest-failed', `${vm.name} can't be entered by SSH: ${cause.message}`, { cause })
      })
    },

    unusedConnections: (vm) => connections.unused(vm),
    leave: (vm) => connections.leave(vm),

    async prepare(vm) {
      await mkdir(vmFolder(folder, vm), { recursive: true, mode: 0o711 })
      const path = hostKeyPath(folder, vm)
      if (await stat(knownHostsPath(folder, vm)).catch(() => undefined)) return
      await rm(path, { force: true }) // an earlier run was cut off between the two files
      await runProgram('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', path])
      await writeFile(knownHostsPath(folder, vm), `${vm.id} ${await readFile(`${path}.pub`, 'utf8')}`)
    },

    async forget(vm) {
      await rm(vmFolder(folder, vm), { recursive: true, force: true })
    },

    async consoleTail(vm, lines) {
      await using file = await open(consoleLogPath(folder, vm), 'r')
      const { size } = await file.stat()
      const length = Math.min(size, 256 * lines + 4096)
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length)
      return plainText(buffer.subarray(0, bytesRead).toString('utf8')).trimEnd().split('\n').slice(-lines).join('\n')
    },
  }
}
