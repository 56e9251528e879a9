import { readFileSync, rmSync } from 'node:fs'

/**
 * Where a test has something go wrong, to show that nothing is lost by it. With `CROFT_FAULT=new.disk` the daemon is killed
 * on the spot at this point. `CROFT_FAIL` names a file: when it holds the point's name, the file is removed and the point
 * fails, as if the step before it had. Without the variables it does nothing.
 */
export function fault(point: string): void {
  if (process.env.CROFT_FAULT === point) process.kill(process.pid, 'SIGKILL')
  const file = process.env.CROFT_FAIL
  if (file === undefined || readIfThere(file) !== point) return
  rmSync(file)
  throw new Error(`A test has ${point} fail.`)
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
