import { startCroft } from '../lib/croft.ts'
import type { Figure } from './figures.ts'

const rounds = 5

/**
 * Where the time of a `new` without a spare goes, by the daemon's own log. Indented lines are part of the line above.
 */
export async function stepFigures(): Promise<Figure[]> {
  await using croft = await startCroft({ env: { CROFT_LOG: 'debug' } })
  for (let round = 0; round <= rounds; round++) {
    await croft.do('new', 'bench')
    await croft.do('rm', 'bench', '--yes')
  }
  const values = new Map<string, number[]>()
  for (const line of (await croft.log()).split('\n').filter((each) => each.includes('"msg":"step"'))) {
    const { step, ms } = JSON.parse(line) as { step: string; ms: number }
    values.set(step, [...(values.get(step) ?? []), ms])
  }
  const names = {
    'new.disk': 'overlay, host key',
    'new.network': 'DHCP entry, firewall',
    'new.define': 'define',
    'new.boot': 'fork:',
    load: '… libvirt, QEMU, load',
    agent: '… first answer',
    personalize: '… personalize',
  }
  // The first fills caches.
  return Object.entries(names).map(([step, what]) => ({ what, unit: 'ms', values: values.get(step)!.slice(1) }))
}
