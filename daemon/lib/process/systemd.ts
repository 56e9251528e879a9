import { runProgram } from './run.ts'

/** Tells systemd that the daemon is ready; without systemd, does nothing. */
export async function notifyReady(): Promise<void> {
  if (process.env.NOTIFY_SOCKET)
    await runProgram('systemd-notify', ['--ready', `--pid=${process.pid}`], { okCodes: [0, 1] })
}

/** Whether the whole box is shutting down, rather than only this daemon. */
export async function boxIsStopping(): Promise<boolean> {
  if (!process.env.NOTIFY_SOCKET) return false
  const { stdout } = await runProgram('systemctl', ['is-system-running'], { okCodes: [0, 1, 2, 3, 4] }).catch(() => ({
    stdout: '',
  }))
  return stdout.trim() === 'stopping'
}
