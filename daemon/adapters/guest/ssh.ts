import { spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Box, imageOf, stateOf } from '../../core/box.ts'
import type { Host } from '../../core/interfaces/host.ts'
import { quote } from '../../lib/text/command-line.ts'
import { plainText } from '../../lib/text/plain-text.ts'
import type { Vm } from '../../store/index.ts'
import { vmFolder } from '../libvirt/domain-xml.ts'

export const daemonKeyPath = (folder: string): string => `${folder}/keys/daemon_ed25519`
export const knownHostsPath = (folder: string, vm: Vm): string => `${vmFolder(folder, vm)}/known_hosts`

/**
 * Returns arguments with which OpenSSH's client enters a VM. It accepts only the host key that Croft made for that VM.
 * @param options.ownKey leaves the choice of a key to ssh, for a caller that can't read the daemon's key
 */
export function sshArgs(folder: string, vm: Vm, user: string, options: { ownKey?: boolean } = {}): string[] {
  const settings = {
    UserKnownHostsFile: knownHostsPath(folder, vm),
    GlobalKnownHostsFile: '/dev/null',
    HostKeyAlias: vm.id,
    StrictHostKeyChecking: 'yes',
    LogLevel: 'ERROR',
    // Only the box and the VM are on this path, and an emulated guest takes half a second for OpenSSH's first choice.
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

/** Says what to do when a running VM can't be entered by SSH. */
const rescue = ({ name }: Vm): string =>
  `To run commands as root through the guest agent: croft exec ${name} --by-agent 'systemctl status ssh; journalctl -n 20 -u ssh'\n`

export interface RunInVmOptions {
  /**
   * Receives output as it comes; each promise is awaited before the next call. Without it, the first MiB of each is
   * kept.
   */
  output?: { out(chunk: Uint8Array): Promise<void>; err(chunk: Uint8Array): Promise<void> } | undefined
  /** Ends the connection; sshd then closes the command's streams. */
  signal?: AbortSignal | undefined
  user?: string | undefined
}

/** Returns a line for a shell: a single word is such a line already; several are a program and its arguments. Pure. */
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
  let code = 255 // ssh's exit code when it can't connect
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
  if (end.signal.aborted) await tell.err(Buffer.from(`${vm.name} stopped before the command ended.\n`))
  const tail = plainText(out.text() + err.text())
    .trimEnd()
    .split('\n')
    .slice(-10)
    .join('\n')
  return { code, stdout: out.text(), stderr: err.text(), truncated: out.truncated || err.truncated, tail }
}

/** Runs ssh. @returns its exit code */
async function runSsh(
  args: readonly string[],
  input: string | AsyncIterable<Uint8Array> | undefined,
  tell: NonNullable<RunInVmOptions['output']>,
  signal: AbortSignal,
): Promise<number> {
  // If it outlived a daemon that is killed, nothing would end it, and its connection would make the VM count as in use.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', 'ssh', ...args], { signal, killSignal: 'SIGTERM' })
  const told = Promise.all([tellAll(child.stdout, tell.out), tellAll(child.stderr, tell.err)]).catch(() => {})
  // The command may end without reading all of its input.
  pipeline(typeof input === 'string' ? [input] : (input ?? []), child.stdin).catch(() => {})
  const code = await new Promise<number>((resolve) => {
    child.once('exit', (status) => resolve(status ?? 255))
    child.once('error', () => resolve(255))
  })
  await told
  return code
}

/** Passes on a stream, and reads no faster than `tell` takes it. */
async function tellAll(from: Readable, tell: (chunk: Buffer) => Promise<void>): Promise<void> {
  for await (const chunk of from) await tell(chunk)
}

/** Whether a VM is off or deleted, so that nothing in it goes on. A VM that sleeps has not ended. */
export function hasEnded(box: Box, id: string): boolean {
  const vm = box.store.state.vms[id]
  return !vm || ['stopped', 'crashed', 'leaving'].includes(stateOf(box, vm))
}

/**
 * Returns a signal for the end of a VM: one that is turned off or crashes does not close its connections. A VM that
 * sleeps has not ended, as it goes on later.
 */
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
