import { readFile, writeFile } from 'node:fs/promises'
import type { SamePages } from '../../core/interfaces/host.ts'
import { CroftError } from '../../lib/error.ts'

/** The kernel's own: https://docs.kernel.org/admin-guide/mm/ksm.html */
const folder = '/sys/kernel/mm/ksm'
const pageBytes = 4096
/** In a second it looks at 1,000 pages 50 times, 200 MB: for 20 VMs that takes half a minute, and a few percent of a CPU. */
const pagesToScan = 1000
const [off, on, unmerged] = ['0', '1', '2']

export const samePages: SamePages = {
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
        // Each VM has pages of its own again: that takes memory, and returns when it is done.
        await writeFile(`${folder}/run`, unmerged!)
        await writeFile(`${folder}/run`, off!)
      }
    } catch (cause) {
      throw new CroftError('unavailable', 'The kernel of this box does not let Croft share pages (KSM).', {
        hint: `Look whether ${folder} is there, and may be written.`,
        cause,
      })
    }
  },
}
