import type { Box } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { proveAgain } from '../core/memory-base/prove.ts'
import { CroftError } from '../lib/error.ts'

/**
 * Checks that guests can share memory, and that what they share is as it was made. Where it did not work, it is tried
 * again.
 */
export async function checkMemoryLayers(box: Box): Promise<Check> {
  const what = 'memory layers'
  if (!box.settings.memoryLayers) return { what, state: 'fine', says: 'turned off in the configuration' }
  if (box.store.state.memoryLayers?.works === false) await proveAgain(box)
  const { memoryLayers: found, memoryBases } = box.store.state
  if (!found) return { what, state: 'fine', says: 'not tried yet: this needs a golden checkpoint' }
  if (!found.works) {
    return {
      what,
      state: 'look',
      says: `VMs share no memory: ${found.why}`,
      advice: 'They work as well, and each takes more memory. See “Memory layers” in docs/operations.md.',
    }
  }
  const bases = Object.values(memoryBases)
  for (const base of bases) {
    const damage = await box.hypervisor.checkBase(base).catch((error) => error)
    if (!damage) continue
    if (!(damage instanceof CroftError)) throw damage
    return {
      what,
      state: 'wrong',
      says: `${damage.message} VMs that sleep on it will start from their disks.`,
      advice: 'Restore the file from a backup. For new VMs, build the image anew: croft image build debian',
    }
  }
  return { what, state: 'fine', says: `${found.why}; ${bases.length} base${bases.length === 1 ? '' : 's'}` }
}
