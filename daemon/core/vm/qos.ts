import { CroftError, reasonOf } from '../../lib/error.ts'
import { noRates, type Rates, type Vm } from '../../store/index.ts'
import { type Box, type ShareKind, whenStarted, withVm } from '../box.ts'
import { whileAllowed } from '../operation/exclusively.ts'
import { perBox } from '../per-box.ts'
import { isUp } from './state.ts'

/** The parts of VMs' shares that could not be applied when last tried, each with one VM concerned and the reason. */
export const unsupported = perBox(() => new Map<ShareKind, { vm: string; why: string }>())

/** A VM's share of the box: its priority among other VMs, and its limits. */
export type ResourceShares = Pick<Vm, 'priority' | 'rates'>

/** The shares of a newly started QEMU. */
export const initialShares: ResourceShares = { priority: 'normal', rates: noRates }

/** The weights by which the kernel shares out scarce resources; 100 is a domain's default. */
const weights: Record<Vm['priority'], number> = { low: 25, normal: 100, high: 400 }

/** Converts a weight to libvirt's `cpu_shares`, whose default is 1024 with cgroups version 1 and 100 with 2. Pure. */
export const cpuShares = (weight: number, cgroups: 1 | 2): number =>
  Math.round(cgroups === 1 ? (1024 * weight) / 100 : weight)

/** Checks that this box can enforce limits. @throws CroftError `unavailable` for one that it can't */
export function checkRates(box: Pick<Box, 'settings'>, { cpuPercent }: Partial<Rates>): void {
  if (typeof cpuPercent === 'number' && box.settings.cpuCgroups === 0) throw noCgroups()
}

/** The error for a box without cgroups to limit CPU time. */
export const noCgroups = (cause?: unknown) =>
  new CroftError('unavailable', "This box can't limit a VM's CPU time: it has no cgroups for that.", {
    hint: 'To see how CPUs, disk and network are shared here: croft doctor',
    cause,
  })

/** Whether libvirt refused something for lack of cgroups, going by its message. */
export const lacksCgroups = (err: unknown): boolean => /cgroup/i.test(reasonOf(err))

/** Applies each VM's shares as soon as it runs. @returns stops it */
export function keepShares(box: Box): () => void {
  // The current shares of a VM that already ran when the daemon started are unknown.
  const unwatch = whenStarted(box, (vm, isNew) => void applyShares(box, vm, isNew ? initialShares : undefined))
  const unweigh = box.governor.watchWeights((vm) => void applyShares(box, vm, { rates: vm.rates }))
  return () => {
    unwatch()
    unweigh()
  }
}

/**
 * Applies the shares in a VM's record to the running VM, as far as the box supports them; `unsupported` lists the rest.
 * @param had its current shares; undefined when unknown
 */
export async function applyShares(box: Box, vm: Vm, had: Partial<ResourceShares> | undefined): Promise<void> {
  const { tried, failed } = await tryShares(box, vm, had)
  for (const what of tried) {
    const err = failed.get(what)
    if (err === undefined) {
      unsupported(box).delete(what)
      continue
    }
    // The VM has ended meanwhile: its failure says nothing about the box.
    if (box.live.get(vm.uuid)?.domain !== 'running') continue
    if (!unsupported(box).has(what))
      box.log.warn({ vm: vm.id, what, err }, "this part of VMs' shares can't be applied on this box")
    unsupported(box).set(what, { vm: vm.name, why: reasonOf(err) })
  }
}

/** Tries to apply each part that differs, even when others fail. */
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
        // Without cgroups there can't be a limit to remove.
        if (rates.cpuPercent !== null || !lacksCgroups(err)) throw err
      }
    })
  if (differs('diskBytesPerS'))
    await attempt('diskBytesPerS', () => hypervisor.setDiskLimit(vm.uuid, rates.diskBytesPerS))
  // When the VM starts, the firewall already has the limit from the store.
  if (had && differs('netBitsPerS')) await attempt('netBitsPerS', () => network.add(vm))
  return { tried, failed }
}

/**
 * Changes a VM's priority and limits; for a running VM with immediate effect. If a limit can't be enforced, nothing
 * changes; a priority is stored even if it can't be applied here.
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
    if (isUp(state) || state === 'paused') await changeRunning(box, before, after)
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
