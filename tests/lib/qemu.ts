import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'

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

/**
 * What a process has mapped of a file: how much, what of it is in memory, and what is its own because it wrote to it.
 */
export async function mappedBy(
  pid: number,
  path: string,
): Promise<{ bytes: number; residentBytes: number; privateBytes: number }> {
  const sum = { bytes: 0, residentBytes: 0, privateBytes: 0 }
  let isWanted = false
  for (const line of (await readFile(`/proc/${pid}/smaps`, 'utf8')).split('\n')) {
    const map = /^([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ *(.*)$/.exec(line)
    if (map) {
      isWanted = map[3] === path
      if (isWanted) sum.bytes += Number.parseInt(map[2]!, 16) - Number.parseInt(map[1]!, 16)
    }
    const [, key, KiB] = /^(Rss|Private_Dirty):\s+(\d+) kB/.exec(line) ?? []
    if (isWanted && key === 'Rss') sum.residentBytes += Number(KiB) * 1024
    if (isWanted && key === 'Private_Dirty') sum.privateBytes += Number(KiB) * 1024
  }
  return sum
}

/** A pause of a VM, and for how long QEMU had saved its memory before, if it did. */
export interface Pause {
  ms: number
  savedMs: number | undefined
}

/** Watches the pauses of a VM, by QEMU's own events and clock, until `stop` is called, which returns them. */
export function watchPauses({ id }: { id: string }): { stop(): Promise<Pause[]> } {
  const words = ['qemu-monitor-event', `croft-${id}`, '--event', '^(STOP|RESUME|MIGRATION)$', '--regex', '--loop']
  const child = spawn('stdbuf', ['-oL', 'virsh', '-q', '-c', 'qemu:///system', ...words])
  const pauses: Pause[] = []
  const last: Record<string, number> = {}
  // event MIGRATION at 1764021123.123456 for domain 'croft-…': {"status":"setup"}
  createInterface({ input: child.stdout! }).on('line', (line) => {
    const [, event, seconds, status = ''] =
      /event (\w+) at ([\d.]+) for [^{]*(?:\{"status":"(\w+)"\})?/.exec(line) ?? []
    if (!event) return
    const at = Number(seconds) * 1000
    last[event + status] = at
    const { STOP: stopped, MIGRATIONsetup: began } = last
    if (event !== 'RESUME' || stopped === undefined) return
    pauses.push({ ms: at - stopped, savedMs: began === undefined ? undefined : stopped - began })
  })
  return {
    async stop() {
      child.kill('SIGINT')
      await new Promise((resolve) => child.once('close', resolve))
      return pauses
    },
  }
}
