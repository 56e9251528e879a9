import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { personalizeScript } from '../../daemon/adapters/guest/personalize.ts'
import type { Vm } from '../../daemon/store/index.ts'
import { names } from '../lib/croft.ts'
import { program } from '../lib/program.ts'

/**
 * The script that a benchmark without Croft runs in a guest: the same as Croft's, with a key of its own. @param key
 * path of an SSH key
 */
export async function introduction(key: string, vm: Pick<Vm, 'mac' | 'ip'>, booted: boolean): Promise<string> {
  const [secret, line] = await Promise.all([readFile(key, 'utf8'), readFile(`${key}.pub`, 'utf8')])
  return personalizeScript({
    name: 'bench',
    machineId: 'b'.repeat(32),
    hostKey: { private: secret, public: line },
    authorizedKeys: [line],
    env: {},
    network: { mac: vm.mac, address: `${vm.ip}/16`, gateway: names.subnet.replace('0.0/16', '0.1') },
    booted,
    now: Date.now() / 1000,
    entropy: randomBytes(64).toString('hex'),
  })
}

const sshOptions = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'BatchMode=yes', 'ConnectTimeout=5']

/** Resolves when an SSH command has run in the guest; retries for at most three minutes. */
export async function firstSsh(key: string, ip: string): Promise<void> {
  const options = sshOptions.flatMap((option) => ['-o', option])
  const words = ['-F', 'none', '-i', key, '-o', 'LogLevel=ERROR', ...options, `dev@${ip}`, 'true']
  const end = Date.now() + 180_000
  for (;;) {
    const { code, stderr } = await program('ssh', words)
    if (code === 0) return
    if (Date.now() > end) throw new Error(stderr)
  }
}
