import { type Box, stateOf, whenUp } from '../box/box.ts'
import type { NumberedEvent } from '../box/events.ts'
import type { Vm } from '../store/index.ts'

/** What a VM gets of CPUs that are short, beside others: libvirt's `cpu_shares`, of which a domain has 1024 by itself. */
const shares: Record<Vm['priority'], number> = { low: 256, normal: 1024, high: 4096 }

/** Has VMs that run get CPUs by their priority, and those that compute less while others want them. Where the box has no cgroups, all are alike, and the log says so once. */
export function keepPriorities(box: Box): () => void {
  let told = false
  const apply = ({ id, uuid, priority }: Vm) => {
    box.hypervisor.setCpuShares(uuid, Math.round(shares[priority] * box.governor.weightOf(id))).catch((err) => {
      if (!told) box.log.warn({ vm: id, err }, 'VMs have no priorities here')
      told = true
    })
  }
  const unwatch = whenUp(box, apply)
  const unweigh = box.governor.watchWeights(apply)
  const unlisten = box.events.listen(({ type, vm: id }: NumberedEvent) => {
    const vm = type === 'vm.changed' && id !== undefined ? box.store.state.vms[id] : undefined
    if (vm && stateOf(box, vm) === 'awake') apply(vm)
  })
  return () => {
    unwatch()
    unweigh()
    unlisten()
  }
}
