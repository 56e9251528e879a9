import { startCroft } from '../lib/croft.ts'
import { type Figure, timed } from './figures.ts'
import { virtInstall } from './virt-install.ts'

const rounds = 3

/**
 * From the command to the first SSH command that works: `croft new`, and in turn with it `virt-install --import` of an
 * overlay on the same disk with the same kernel.
 */
export async function bootFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  const ours: Figure = { what: '`croft new` to first SSH command', unit: 's', values: [] }
  const theirs: Figure = { what: '`virt-install --import` to first SSH command', unit: 's', values: [] }
  for (let round = 0; round < rounds; round++) {
    const ms = await timed(async () => {
      await croft.do('new', 'bench')
      await croft.do('exec', 'bench', 'true')
    })
    ours.values.push(ms / 1000)
    await croft.do('rm', 'bench', '--yes')
    theirs.values.push((await virtInstall(croft)) / 1000)
  }
  return [ours, theirs]
}
