import { join } from 'node:path'

/** The gateway's keys, all that it reads of the state folder: its host key, and the one that VMs let in. Each has a `.pub`. */
export const gatewayKeys = (folder: string): { host: string; own: string } => ({
  host: join(folder, 'ssh', 'host_ed25519'),
  own: join(folder, 'ssh', 'id_ed25519'),
})
