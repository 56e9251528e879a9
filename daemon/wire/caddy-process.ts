import { readdir, readFile, stat } from 'node:fs/promises'
import { caddyUser, userId } from '../lib/process/accounts.ts'

/** On a busy box, Caddy may take this long to start. */
const startSeconds = 20
/** The unit of time in /proc (`USER_HZ` of proc_pid_stat(5)): the same on all x86. */
const ticksPerSecond = 100

/**
 * Ends this box's Caddy when it no longer answers on its socket: somebody has emptied its configuration, and its admin
 * API has moved to Caddy's default address. Its supervisor (systemd, or the daemon) then starts it with the right
 * configuration. A Caddy that has only just started is left alone.
 * @param folder the state folder: a Caddy that keeps its data elsewhere is not ours @returns whether one was ended
 */
export async function endCaddy(folder: string): Promise<boolean> {
  const user = await userId(caddyUser)
  if (user === undefined) return false
  const uptime = Number((await readFile('/proc/uptime', 'utf8')).split(' ')[0])
  const numbers = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const old = await Promise.all(
    numbers.map(async (pid) => {
      try {
        if ((await stat(`/proc/${pid}`)).uid !== user) return false
        const environment = (await readFile(`/proc/${pid}/environ`, 'utf8')).split('\0')
        if (!environment.includes(`XDG_DATA_HOME=${folder}`)) return false
        return uptime - startedAt(await readFile(`/proc/${pid}/stat`, 'utf8')) > startSeconds
      } catch {
        return false // it has just ended
      }
    }),
  )
  const pids = numbers.filter((_, i) => old[i]).map(Number)
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  return pids.length > 0
}

/**
 * Returns when a process started, in seconds after the box's boot: field 22 of `/proc/<pid>/stat`, whose second field
 * may hold any characters. Pure.
 */
export function startedAt(line: string): number {
  const fromThird = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return Number(fromThird[22 - 3]) / ticksPerSecond
}
