import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Box, imageOf, stateOf } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'
import { quote } from '../../lib/command-line.ts'
import { plainText } from '../../lib/plain-text.ts'
import type { Vm } from '../../store/index.ts'
import { vmFolder } from '../libvirt/domain-xml.ts'

export const daemonKeyPath = (folder: string): string => `${folder}/keys/daemon_ed25519`
export const knownHostsPath = (folder: string, vm: Vm): string => `${vmFolder(folder, vm)}/known_hosts`

/**
 * Arguments for OpenSSH's client to enter a VM: only the host key that Croft made for it will do.
 * @param options.ownKey leave the choice of the key to the caller's own ssh, who can't read the daemon's
 */
export function sshArgs(folder: string, vm: Vm, user: string, options: { ownKey?: boolean } = {}): string[] {
  const settings = {
    UserKnownHostsFile: knownHostsPath(folder, vm),
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlias: vm.id,
    StrictHostKeyChecking: 'yes',
    LogLevel: 'ERROR',
    // Nobody but the box and the VM is on the way, and an emulated guest takes half a second for what OpenSSH prefers.
    KexAlgorithms: '^curve25519-sha256',
    ConnectTimeout: '20',
    ...(!options.ownKey && { IdentitiesOnly: 'yes', IdentityFile: daemonKeyPath(folder), ForwardAgent: 'no' }),
  }
  return [
    '-F',
    'none',
    ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    '-l',
    user,
    vm.ip,
  ]
}

/** What to do when SSH lets nobody into a VM that runs. */
const rescue = ({ name }: Vm): string =>
  `The guest agent lets you in as root: croft exec ${name} --by-agent 'systemctl status ssh; journalctl -n 20 -u ssh'\n`

export interface RunInVmOptions {
  /** Where output goes as it comes, the next of it once the promise resolves. Without it, the first MiB of each is collected. */
  output?: { out(chunk: Uint8Array): Promise<void>; err(chunk: Uint8Array): Promise<void> } | undefined
  /** Ends the connection, and with it, as sshd sees to, the command's streams. */
  signal?: AbortSignal | undefined
  user?: string | undefined
}

/** A line for a shell: one word is one already, several are a program and its arguments. Pure. */
export const shellLine = (words: readonly string[]): string =>
  words.length === 1 ? words[0]! : words.map(quote).join(' ')

const collectBytes = 2 ** 20

/**
 * Runs a command in a VM as its login user, by SSH: streams both ways, exit code, exact bytes.
 * @param words one word is a line for the login shell; several are a program and its arguments
 */
export async function runInVm(
  box: Box,
  { folder, connections }: Pick<Host, 'folder' | 'connections'>,
  vm: Vm,
  words: readonly string[],
  input: string | AsyncIterable<Uint8Array> | undefined,
  options: RunInVmOptions = {},
): Promise<{ code: number; stdout: string; stderr: string; truncated: boolean; tail: string }> {
  const line = shellLine(words)
  const user = options.user ?? imageOf(box.store.state, vm).user
  const end = endOf(box, vm)
  const out = collector()
  const err = collector()
  const tell = options.output ?? { out: out.add, err: err.add }
  let code = 255 // what ssh ends with when it can't get in
  try {
    const loan = await connections.borrow(vm, user)
    if (loan && 'refused' in loan) await tell.err(Buffer.from(`${loan.refused}${rescue(vm)}`))
    else {
      const to = loan?.to ?? [...sshArgs(folder, vm, user), '-o', 'BatchMode=yes']
      const signal = AbortSignal.any([end.signal, ...(options.signal ? [options.signal] : [])])
      code = await runSsh([...to, '-T', '--', line], input, tell, signal)
      loan?.giveBack()
    }
  } finally {
    end.unwatch()
  }
  if (end.signal.aborted) await tell.err(Buffer.from(`${vm.name} ended before the command did.\n`))
  const tail = plainText(out.text() + err.text())
    .trimEnd()
    .split('\n')
    .slice(-10)
    .join('\n')
  return { code, stdout: out.text(), stderr: err.text(), truncated: out.truncated || err.truncated, tail }
}

/** @returns its exit code */
async function runSsh(
  args: readonly string[],
  input: string | AsyncIterable<Uint8Array> | undefined,
  tell: NonNullable<RunInVmOptions['output']>,
  signal: AbortSignal,
): Promise<number> {
  // Nobody would end it when the daemon is killed, and its connection has the VM count as in use.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'ssh', ...args], { signal, killSignal: 'SIGTERM' })
  const told = Promise.all([tellAll(child.stdout, tell.out), tellAll(child.stderr, tell.err)]).catch(() => {})
  // The command may end without reading all of its input: that is its right.
  pipeline(typeof input === 'string' ? [input] : (input ?? []), child.stdin).catch(() => {})
  const code = await new Promise<number>((resolve) => {
    child.once('exit', (status) => resolve(status ?? 255))
    child.once('error', () => resolve(255))
  })
  await told
  return code
}

/** Reads no faster than what is read is taken on. */
async function tellAll(from: Readable, tell: (chunk: Buffer) => Promise<void>): Promise<void> {
  for await (const chunk of from) await tell(chunk)
}

/** Whether nothing that was open in a VM goes on: it is off, or gone. One that sleeps has not ended. */
export function hasEnded(box: Box, id: string): boolean {
  const vm = box.store.state.vms[id]
  return !vm || ['stopped', 'crashed', 'leaving'].includes(stateOf(box, vm))
}

/** A VM that is turned off or crashes says nothing to the other end of its connections. One that sleeps goes on later. */
export function endOf(box: Box, { id, uuid }: Vm): { signal: AbortSignal; unwatch(): void } {
  const ended = new AbortController()
  const unwatch = box.live.watch((changed) => {
    if (changed === uuid && hasEnded(box, id)) ended.abort()
  })
  return { signal: ended.signal, unwatch }
}

function collector() {
  const chunks: Uint8Array[] = []
  let size = 0
  return {
    async add(chunk: Uint8Array) {
      if (size < collectBytes) chunks.push(chunk.subarray(0, collectBytes - size))
      size += chunk.length
    },
    get truncated() {
      return size > collectBytes
    },
    text: () => Buffer.concat(chunks).toString('utf8'),
  }
}
