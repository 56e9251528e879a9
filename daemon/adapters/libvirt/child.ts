import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export type Role = 'events' | 'calls'

const bridge = fileURLToPath(new URL('./bridge.ts', import.meta.url))

/** Starts a bridge child. Its standard error is ours. */
export function forkBridge(role: Role, uri: string): ChildProcess {
  return fork(bridge, [role, uri, String(process.pid)], {
    execPath: process.execPath,
    execArgv: ['--max-old-space-size=64', '--max-semi-space-size=1'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

/** Calls `gone` once, with the reason in words, when the child has ended or could not be started. */
export function onGone(child: ChildProcess, gone: (reason: string) => void): void {
  let told = false
  const tell = (reason: string) => {
    if (!told) gone(reason)
    told = true
  }
  child.on('error', (error) => {
    if (child.pid === undefined) tell(error.message)
  })
  child.once('exit', (code, signal) => tell(signal ?? `exit code ${code}`))
}

/** Lets an idle child go: it closes its connection and ends; after a second it is ended. */
export function endChild(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), 1000)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    if (child.connected) child.disconnect()
  })
}

/** Resident memory of a process in MiB (second field of /proc/<pid>/statm, in pages of 4 KiB); 0 when it has ended. */
export function rssMiB(pid: number | undefined): number {
  try {
    return Math.round(Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) / 256)
  } catch {
    return 0
  }
}
