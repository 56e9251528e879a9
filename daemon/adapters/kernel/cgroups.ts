import { readFile } from 'node:fs/promises'

/** Returns the version of cgroups with which this box's kernel shares CPUs, 0 for none: cgroups(7). */
export async function cpuCgroups(): Promise<0 | 1 | 2> {
  const [controllers, mounts] = await Promise.all(
    ['/sys/fs/cgroup/cgroup.controllers', '/proc/self/mounts'].map((path) => readFile(path, 'utf8').catch(() => '')),
  )
  return cgroupVersion(controllers!, mounts!)
}

/**
 * Returns the version that these files tell of. Pure.
 * @param controllers content of cgroup.controllers (version 2) @param mounts content of /proc/self/mounts
 */
export function cgroupVersion(controllers: string, mounts: string): 0 | 1 | 2 {
  if (/\bcpu\b/.test(controllers)) return 2
  const ofCpus = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .some(([, , type, options]) => type === 'cgroup' && /^rw\b/.test(options!) && options!.split(',').includes('cpu'))
  return ofCpus ? 1 : 0
}
