import { type Box, vmsOf } from '../core/box.ts'
import type { Check } from '../core/interfaces/check.ts'
import { runProgram } from '../lib/process/run.ts'
import type { State } from '../store/index.ts'

const packageName = 'qemu-system-x86'

/** Checks what the next upgrade of QEMU would cost. Undefined where QEMU is not a Debian package. */
export async function checkQemu(box: Box): Promise<Check | undefined> {
  const policy = await runProgram('apt-cache', ['policy', packageName]).catch(() => undefined)
  const version = (key: string) => new RegExp(`^ +${key}: (\\S+)$`, 'm').exec(policy?.stdout ?? '')?.[1]
  const [installed, candidate] = [version('Installed'), version('Candidate')]
  if (!installed || !candidate || candidate === '(none)') return undefined
  return qemuCheck(installed, candidate, box.store.state)
}

/**
 * Says which saved memories an upgrade would cost: a QEMU loads what an older one has saved, and not what a newer one
 * has. Pure. @param installed and `candidate`: versions of the package
 */
export function qemuCheck(installed: string, candidate: string, state: State): Check {
  const what = 'QEMU'
  const [now, next] = [upstream(installed), upstream(candidate)]
  if (installed === candidate) return { what, state: 'fine', says: `${now} is the newest that Debian has here` }
  const lost = Object.values(state.memories).filter(({ hardware }) => compare(upstream(hardware.qemu), next) > 0)
  const ids = new Set(lost.map(({ id }) => id))
  const names = [
    ...vmsOf(state).flatMap(({ name, memory }) => (ids.has(memory ?? '') ? name : [])),
    ...Object.values(state.checkpoints).flatMap(({ kind, vm, label, memory }) =>
      kind !== 'golden' && ids.has(memory ?? '') ? `${label} of ${state.vms[vm ?? '']?.name ?? 'a deleted VM'}` : [],
    ),
  ]
  const step = now === next ? `an update of ${now}` : `the step from ${now} to ${next}`
  if (names.length === 0) {
    const says = `${step} costs no saved memory; the first new VM after it takes longer, and memory is shared again once that was tried`
    return { what, state: 'fine', says }
  }
  return {
    what,
    state: 'look',
    says: `${step} would cost the memory of ${names.join(', ')}`,
    advice: `Keep this version (apt-mark hold ${packageName}), or shut those VMs down first: they start from their disks.`,
  }
}

/** The first two numbers of a version, such as 7.2 of 1:7.2+dfsg-7. */
const upstream = (version: string): string => /^(?:\d+:)?(\d+\.\d+)/.exec(version)?.[1] ?? version

function compare(a: string, b: string): number {
  const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [a.split('.').map(Number), b.split('.').map(Number)]
  return majorA - majorB || minorA - minorB
}
