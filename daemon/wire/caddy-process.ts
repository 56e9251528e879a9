import { readdir, readFile, stat } from 'node:fs/promises'
import { caddyUser, userId } from '../lib/accounts.ts'

/** A start may take that long on a busy box. */
const startSeconds = 20
/** What /proc counts in (`USER_HZ` of proc_pid_stat(5)): the same on all x86. */
const ticksPerSecond = 100

/**
 * Ends the Caddy of this box that no longer answers at its socket: emptied by hand, its admin API has gone to where Caddy
 * has it by itself. Whoever watches over it (systemd, or the daemon) starts it as it should be. One that has only just begun is left alone.
 * @param folder the state folder: a Caddy whose own is not in there is not ours @returns whether one was ended
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
        return false // it has ended meanwhile
      }
    }),
  )
  const pids = numbers.filter((_, i) => old[i]).map(Number)
  for (const pid of pids) process.kill(pid, 'SIGTERM')
  return pids.length > 0
}

/** When a process began, in seconds after the box's start: field 22 of `/proc/<pid>/stat`, whose second may hold anything. Pure. */
export function startedAt(line: string): number {
  const fromThird = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return Number(fromThird[22 - 3]) / ticksPerSecond
}
