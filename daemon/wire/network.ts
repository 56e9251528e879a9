import type { Firewall } from '../adapters/network/firewall.ts'
import type { Box } from '../core/box.ts'

/** Restores the firewall if its tables are gone. Our own changes delete and replace tables too, so it checks first. */
export function restoreFirewall(box: Box, firewall: Firewall): void {
  firewall
    .standing()
    .then(async (standing) => {
      if (standing) return
      await box.network.restore()
      box.events.publish({
        type: 'box.warning',
        message: 'Something on this box removed the firewall; Croft restored it.',
      })
    })
    .catch((err) => box.log.error({ err }, 'could not restore the firewall'))
}

/** Checks that the VMs' network is there, and restores it otherwise. The loss of a bridge causes no event. */
export async function lookAtNetwork(box: Box): Promise<void> {
  if (box.hypervisor.trouble() || (await box.network.look())) return
  const message = "Something on this box removed the VMs' network; Croft restored it."
  box.log.warn(message)
  box.events.publish({ type: 'box.warning', message })
}
