import type { Firewall } from '../adapters/network/firewall.ts'
import type { Box } from '../core/box.ts'

/** Our own changes replace the tables too; only their absence is a loss. */
export function restoreFirewall(box: Box, firewall: Firewall): void {
  firewall
    .standing()
    .then(async (standing) => {
      if (standing) return
      await box.network.restore()
      box.events.publish({
        type: 'box.warning',
        message: 'The firewall had been removed by something on this box; it is back.',
      })
    })
    .catch((err) => box.log.error({ err }, 'could not restore the firewall'))
}

/** A bridge that is gone says nothing by itself. */
export async function lookAtNetwork(box: Box): Promise<void> {
  if (box.hypervisor.trouble() || (await box.network.look())) return
  const message = "The VMs' network had been taken away by something on this box; it is back."
  box.log.warn(message)
  box.events.publish({ type: 'box.warning', message })
}
