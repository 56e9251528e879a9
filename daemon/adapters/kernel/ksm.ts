import { readFile, writeFile } from 'node:fs/promises'
import type { Ksm } from '../../core/interfaces/host.ts'
import { CroftError } from '../../lib/error.ts'

/** The kernel's interface to KSM: https://docs.kernel.org/admin-guide/mm/ksm.html */
const folder = '/sys/kernel/mm/ksm'
const pageBytes = 4096
/**
 * It scans 1,000 pages 50 times a second, 200 MB: for 20 VMs a scan takes half a minute, and a few percent of a CPU.
 */
const pagesToScan = 1000
const [off, on, unmerged] = ['0', '1', '2']

export const ksm: Ksm = {
  async read() {
    const [run, sharing] = await Promise.all(
      ['run', 'pages_sharing'].map((name) => readFile(`${folder}/${name}`, 'utf8').catch(() => undefined)),
    )
    if (run === undefined || sharing === undefined) return null
    return { on: run.trim() === on, savedBytes: Number(sharing) * pageBytes }
  },

  async set(wanted) {
    try {
      if (wanted) {
        await writeFile(`${folder}/pages_to_scan`, `${pagesToScan}`)
        await writeFile(`${folder}/run`, on!)
      } else {
        // Each VM gets pages of its own again. That takes memory; the write returns when it is done.
        await writeFile(`${folder}/run`, unmerged!)
        await writeFile(`${folder}/run`, off!)
      }
    } catch (cause) {
      throw new CroftError('unavailable', "Croft can't use the kernel's memory deduplication (KSM) on this box.", {
        hint: `Check that ${folder} exists and is writable.`,
        cause,
      })
    }
  },
}
