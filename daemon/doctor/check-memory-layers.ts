import type { Box } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { isPassing, roomFor } from '../core/memory-base/make.ts'
import { proveAgain } from '../core/memory-base/prove.ts'
import { CroftError } from '../lib/error.ts'
import { bytes } from '../lib/text/units.ts'

/**
 * Checks that guests can share memory, and that what they share is as it was made. Where it did not work, it is tried
 * again.
 */
export async function checkMemoryLayers(box: Box): Promise<Check> {
  const what = 'memory layers'
  if (!box.settings.memoryLayers) return { what, state: 'fine', says: 'turned off in the configuration' }
  if (box.store.state.memoryLayers?.works === false) {
    await proveAgain(box).catch((error) => {
      // What was found before still holds when the box has no room for another try.
      if (!isPassing(error)) throw error
    })
  }
  const { memoryLayers: found, memoryBases } = box.store.state
  if (found?.works !== false) {
    const lack = await lackOfRoom(box)
    if (lack) return { what, state: 'look', ...lack }
  }
  if (!found)
    return { what, state: 'fine', says: 'not tried yet: this needs a golden checkpoint, and room for a test VM' }
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

/** Says which image's VMs share no memory because the disk is too full for their memory base. */
async function lackOfRoom(box: Box): Promise<Pick<Check, 'says' | 'advice'> | undefined> {
  const { checkpoints, memories, images } = box.store.state
  for (const { kind, image, memory: id } of Object.values(checkpoints)) {
    const memory = memories[id ?? '']
    if (kind !== 'golden' || memory?.base !== null) continue
    const needed = await roomFor(box, memory)
    if ((await box.files.freeBytes()) > needed) continue
    return {
      says: `VMs of ${images[image]?.name} will share memory when the disk has ${bytes(needed)} free`,
      advice: 'They work as well, and each takes more memory. See what can go: croft box df',
    }
  }
  return undefined
}
