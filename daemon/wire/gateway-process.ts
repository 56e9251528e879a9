import { join } from 'node:path'

/**
 * Returns the paths of the gateway's keys, which are all that it reads of the state folder: its host key, and the key
 * that VMs accept. Beside each is a `.pub`.
 */
export const gatewayKeys = (folder: string): { host: string; own: string } => ({
  host: join(folder, 'ssh', 'host_ed25519'),
  own: join(folder, 'ssh', 'id_ed25519'),
})

/**
 * How Node runs the gateway: so that it soon collects the garbage of ten thousand logins and gives the memory back.
 * With its defaults it keeps some 200 MB of that for nothing. The unit (packaging/croft-ssh.service) says the same.
 */
export const lean = { flags: ['--max-semi-space-size=1'], env: { MALLOC_ARENA_MAX: '1' } } as const
