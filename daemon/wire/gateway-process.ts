import { join } from 'node:path'

/** The gateway's keys, all that it reads of the state folder: its host key, and the one that VMs let in. Each has a `.pub`. */
export const gatewayKeys = (folder: string): { host: string; own: string } => ({
  host: join(folder, 'ssh', 'host_ed25519'),
  own: join(folder, 'ssh', 'id_ed25519'),
})

/** Where what listens at an address is reached from the box itself. Pure. */
export const reachedFromBox = (address: string): string => (['::', '0.0.0.0'].includes(address) ? '127.0.0.1' : address)

/**
 * How Node runs the gateway: what ten thousand log-ins leave behind is collected soon, and given back. With its own
 * defaults it keeps some 200 MB of that, for nothing. The unit (packaging/croft-ssh.service) says the same.
 */
export const lean = { flags: ['--max-semi-space-size=1'], env: { MALLOC_ARENA_MAX: '1' } } as const
