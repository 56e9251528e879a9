import { readFile } from 'node:fs/promises'

/** Returns a process and all its descendants, itself first. */
export async function family(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '') // it has ended meanwhile
  const children = text.split(' ').filter(Boolean).map(Number)
  return [pid, ...(await Promise.all(children.map(family))).flat()]
}

/**
 * Returns the CPU time of processes in ms: `utime` and `stime` of proc_pid_stat(5), in ticks of 10 ms. An ended process
 * counts as 0.
 */
export async function cpuMs(pids: readonly number[]): Promise<number> {
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')))
  return stats.reduce((sum, stat) => {
    // The second field may hold anything; the rest begins with the third.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return sum + (Number(fields[14 - 3] ?? 0) + Number(fields[15 - 3] ?? 0)) * 10
  }, 0)
}

/** The resident memory of a process, in MiB. */
export const residentMb = async (pid: number): Promise<number> =>
  Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))![1]) / 1024
