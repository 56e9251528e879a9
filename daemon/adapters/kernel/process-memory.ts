import { readFile } from 'node:fs/promises'

export interface ProcessMemory {
  /** What only this process has, in bytes: anonymous and shared-memory pages. Its end frees them. */
  ownBytes: number
  /** Pages of files that it has mapped and not written, in bytes: others may have mapped them too. */
  fileBytes: number
}

/**
 * Reads what memory a process has, from the counters in /proc/PID/status: proc_pid_status(5). Unlike smaps, they cost
 * the same however much memory it is. @throws when there is no such process
 */
export async function readProcessMemory(pid: number): Promise<ProcessMemory> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) * 1024
  return { ownBytes: bytes('RssAnon') + bytes('RssShmem'), fileBytes: bytes('RssFile') }
}
