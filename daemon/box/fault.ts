/**
 * Kills the daemon on the spot when the environment names this point (`CROFT_FAULT=new.disk`): how the tests show
 * that a cut at any step loses nothing. Without the variable it does nothing.
 */
export function fault(point: string): void {
  if (process.env.CROFT_FAULT === point) process.kill(process.pid, 'SIGKILL')
}
