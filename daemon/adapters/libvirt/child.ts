import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export type Role = 'events' | 'calls'

const bridge = fileURLToPath(new URL('./bridge.ts', import.meta.url))

/** Starts a bridge child, which inherits our standard error. */
export function forkBridge(role: Role, uri: string): ChildProcess {
  return fork(bridge, [role, uri, String(process.pid)], {
    execPath: process.execPath,
    execArgv: ['--max-old-space-size=64', '--max-semi-space-size=1'],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
}

/** Calls `gone` once, with the reason in words, when the child has ended or can't be started. */
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

/** Ends an idle child: disconnects, so that it closes its connection and ends; kills it if it hasn't after a second. */
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

/**
 * Returns a process's resident memory in MiB (second field of /proc/<pid>/statm, in 4 KiB pages); 0 when it has ended.
 */
export function rssMiB(pid: number | undefined): number {
  try {
    return Math.round(Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) / 256)
  } catch {
    return 0
  }
}
