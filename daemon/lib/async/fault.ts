import { readFileSync, rmSync } from 'node:fs'

/**
 * A fault point, where a test can make something go wrong to show that nothing is lost. With `CROFT_FAULT=new.disk` the
 * daemon is killed immediately at this point. `CROFT_FAIL` names a file: when it holds the point's name, the file is
 * removed and the point fails, as if the step before it had failed. Without the variables this does nothing.
 */
export function fault(point: string): void {
  if (process.env.CROFT_FAULT === point) process.kill(process.pid, 'SIGKILL')
  const file = process.env.CROFT_FAIL
  if (file === undefined || readIfThere(file) !== point) return
  rmSync(file)
  throw new Error(`A test made ${point} fail.`)
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
