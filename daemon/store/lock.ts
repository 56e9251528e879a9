import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { CroftError } from '../lib/error.ts'

export interface Lock {
  release(): Promise<void>
  /** Rejects when the lock is lost (somebody killed the process that holds it); never resolves. */
  readonly lost: Promise<never>
}

/** The exit code that flock(1) is told to use when the lock is held; any that the program it runs does not use. */
const heldCode = 75

/**
 * Takes the kernel's lock on a file for as long as this process lives.
 * Node has no flock(2), so a small child holds the lock: flock(1) becomes cat(1), which ends when its standard input
 * closes. That happens when this process ends, in whatever way.
 * @throws CroftError `conflict` when another process still holds it after `waitMs`.
 */
export async function takeLock(path: string, waitMs = 3000): Promise<Lock> {
  const args = ['--wait', String(waitMs / 1000), '--conflict-exit-code', String(heldCode), '--no-fork', path, 'cat']
  const child = spawn('flock', args, { stdio: ['pipe', 'pipe', 'inherit'], detached: true })
  const ended = once(child, 'exit').then(([code]) => code as number | null)
  child.stdin.on('error', () => {})
  child.stdin.write('held\n')
  const first = await Promise.race([once(child.stdout, 'data').then(() => 'held' as const), ended])
  if (first !== 'held') {
    throw new CroftError('conflict', `Another croftd is using this state folder: ${path} is locked.`, {
      hint: 'Stop the other daemon first (systemctl stop croft), or give this one another state folder.',
    })
  }
  child.unref()
  let released = false
  const lost = ended.then(() => {
    if (released) return new Promise<never>(() => {})
    throw new CroftError('conflict', `The lock ${path} was lost: the process that held it was killed.`)
  })
  lost.catch(() => {})
  return {
    lost,
    release: async () => {
      released = true
      child.ref() // it may be the only thing that keeps this process alive until then
      child.stdin.end()
      await ended
    },
  }
}
