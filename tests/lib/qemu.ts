import { readFile } from 'node:fs/promises'

/** Returns the process id of a running VM, as libvirt has it. */
export const qemuPid = async ({ id }: { id: string }): Promise<number> =>
  Number(await readFile(`/run/libvirt/qemu/croft-${id}.pid`, 'utf8'))

/**
 * A process's resident memory in MB (RSS), and its proportional share (PSS): a page that several processes share is
 * divided among them.
 */
export async function sizeOf(pid: number): Promise<{ rss: number; pss: number }> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, 'utf8')
  const size = (key: string) => (Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(rollup)![1]) * 1024) / 1e6
  return { rss: size('Rss'), pss: size('Pss') }
}
