import { CroftError, reasonOf } from '../../lib/error.ts'
import { noRates, type Rates, type Vm } from '../../store/index.ts'
import { type Box, type ShareKind, whenStarted, withVm } from '../box.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { perBox } from '../per-box.ts'

/** What of their shares of the box VMs could not be given when that was last tried, with one of them, and why. */
export const unsupported = perBox(() => new Map<ShareKind, { vm: string; why: string }>())

/** What a VM gets of the box beside others, and at most. */
export type ResourceShares = Pick<Vm, 'priority' | 'rates'>

/** What a QEMU has that nobody has told anything. */
export const initialShares: ResourceShares = { priority: 'normal', rates: noRates }

/** By which the kernel shares out what is short: 100 is what a domain has by itself. */
const weights: Record<Vm['priority'], number> = { low: 25, normal: 100, high: 400 }

/** libvirt's `cpu_shares` of a weight: what a domain has by itself is 1024 with cgroups of version 1, 100 with 2. Pure. */
export const cpuShares = (weight: number, cgroups: 1 | 2): number =>
  Math.round(cgroups === 1 ? (1024 * weight) / 100 : weight)

/** @throws CroftError `unavailable` for a limit that this box can't hold a VM to */
export function checkRates(box: Pick<Box, 'settings'>, { cpuPercent }: Partial<Rates>): void {
  if (typeof cpuPercent === 'number' && box.settings.cpuCgroups === 0) throw noCgroups()
}

/** The box has no cgroups by which CPU time could be limited. */
export const noCgroups = (cause?: unknown) =>
  new CroftError('unavailable', "A VM's CPU time can't be limited on this box: there are no cgroups for it.", {
    hint: 'croft doctor says how CPUs, disk and network are shared here.',
    cause,
  })

/** Whether libvirt refused something because it has no cgroups for it, in its own words. */
export const lacksCgroups = (err: unknown): boolean => /cgroup/i.test(reasonOf(err))

/** Has each VM get, as soon as it runs, what its record says. @returns ends that */
export function keepShares(box: Box): () => void {
  // Of one that ran before we came it is not known what it has been told.
  const unwatch = whenStarted(box, (vm, isNew) => void applyShares(box, vm, isNew ? initialShares : undefined))
  const unweigh = box.governor.watchWeights((vm) => void applyShares(box, vm, { rates: vm.rates }))
  return () => {
    unwatch()
    unweigh()
  }
}

/**
 * Has a running VM get what its record says, as far as that can be had; `unsupported` has the rest.
 * @param had what it gets now; undefined when that is not known
 */
export async function applyShares(box: Box, vm: Vm, had: Partial<ResourceShares> | undefined): Promise<void> {
  const { tried, failed } = await tryShares(box, vm, had)
  for (const what of tried) {
    const err = failed.get(what)
    if (err === undefined) {
      unsupported(box).delete(what)
      continue
    }
    // It has ended meanwhile: that says nothing about the box.
    if (box.live.get(vm.uuid)?.domain !== 'running') continue
    if (!unsupported(box).has(what)) box.log.warn({ vm: vm.id, what, err }, 'it can not be had here for VMs')
    unsupported(box).set(what, { vm: vm.name, why: reasonOf(err) })
  }
}

/** Each is tried, whatever becomes of the others. */
export async function tryShares(box: Box, vm: Vm, had: Partial<ResourceShares> | undefined) {
  const { hypervisor, network, settings, governor } = box
  const { priority, rates } = vm
  const tried: ShareKind[] = []
  const failed = new Map<ShareKind, unknown>()
  const attempt = async (what: ShareKind, work: () => Promise<void>) => {
    tried.push(what)
    await work().catch((err) => failed.set(what, err))
  }
  if (priority !== had?.priority) {
    const weight = weights[priority]
    await attempt('cpuWeight', async () => {
      if (settings.cpuCgroups === 0) throw noCgroups()
      await hypervisor.setCpuShares(vm.uuid, cpuShares(weight * governor.weightOf(vm.id), settings.cpuCgroups))
    })
    await attempt('diskWeight', () => hypervisor.setDiskWeight(vm.uuid, weight))
  }
  const differs = (what: keyof Rates) => rates[what] !== had?.rates?.[what]
  if (differs('cpuPercent'))
    await attempt('cpuPercent', async () => {
      try {
        await hypervisor.setCpuLimit(vm.uuid, rates.cpuPercent)
      } catch (err) {
        // Without cgroups nothing can have limited it.
        if (rates.cpuPercent !== null || !lacksCgroups(err)) throw err
      }
    })
  if (differs('diskBytesPerS'))
    await attempt('diskBytesPerS', () => hypervisor.setDiskLimit(vm.uuid, rates.diskBytesPerS))
  // The firewall has what is in the store since before the VM ran.
  if (had && differs('netBitsPerS')) await attempt('netBitsPerS', () => network.add(vm))
  return { tried, failed }
}

/**
 * Changes what a VM gets beside others, and at most: at once when it runs. When it can't be held to a limit, all is as
 * before; a priority is kept, for where it can be had.
 * @throws CroftError `unavailable`, `not-found`, `conflict`
 */
export async function shareVm(
  box: Box,
  name: string,
  { priority, rates }: { priority?: ResourceShares['priority']; rates: Partial<Rates> },
): Promise<void> {
  checkRates(box, rates)
  await whileAllowed(box, name, 'limit', async (before, state) => {
    const { id } = before
    const change = { priority: priority ?? before.priority, rates: { ...before.rates, ...rates } }
    const after = { ...before, ...change }
    if (state === 'awake' || state === 'paused') await changeRunning(box, before, after)
    else if (after.rates.netBitsPerS !== before.rates.netBitsPerS) await box.network.add(after)
    await box.store.update(withVm(id, change))
    box.events.publish({ type: 'vm.changed', vm: id, name: before.name })
  })
}

async function changeRunning(box: Box, before: Vm, after: Vm): Promise<void> {
  const { failed } = await tryShares(box, after, before)
  for (const [what, err] of failed) {
    if (what === 'cpuWeight' || what === 'diskWeight') continue
    await applyShares(box, before, after)
    throw what === 'cpuPercent' && lacksCgroups(err) ? noCgroups(err) : err
  }
}
