import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { CroftError } from './lib/error.ts'
import { wrongIn } from './lib/text/wrong-value.ts'

/**
 * /etc/croft/config.json. All values have defaults. Several Crofts on one box must differ in `folder` and all of
 * `network`.
 */
const configSchema = z.strictObject({
  folder: z.string().startsWith('/').default('/var/lib/croft'),
  socket: z.string().startsWith('/').max(100).default('/run/croft/croft.sock'),
  port: z.int().min(1).max(65535).default(7070),
  libvirt: z.string().default('qemu:///system'),
  accelerator: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  /** Boot each image once and keep it with its memory, so that new VMs are forks of it. */
  golden: z.boolean().default(true),
  /** Let VMs that are forks of one checkpoint share the memory that they have in common, from a file that all map. */
  memoryLayers: z.boolean().default(true),
  /** How many of these forks to keep loaded for the next `croft new`; each takes memory. */
  spares: z.int().min(0).max(20).optional(),
  /** The web addresses of VMs, which Caddy serves; false for none. */
  web: z
    .union([
      z.literal(false),
      z.strictObject({
        /** The unix socket of Caddy's admin API. */
        admin: z.string().startsWith('/').max(100).default('/run/croft-caddy/admin.sock'),
        /** The unix socket on which Caddy asks the daemon about each request. */
        gate: z.string().startsWith('/').max(100).default('/run/croft/gate.sock'),
        /** The group that Caddy runs as. */
        group: z.string().default('croft-caddy'),
        http: z.int().min(1).max(65535).default(80),
        https: z.int().min(1).max(65535).default(443),
      }),
    ])
    .prefault({}),
  /** SSH to the lobby and the VMs, through the gateway (gateway.ts); false for none. */
  ssh: z
    .union([
      z.literal(false),
      z.strictObject({
        port: z.int().min(1).max(65535).default(2222),
        /** The address that it listens on; `::` is every address of the box. */
        address: z.string().default('::'),
        /** The unix socket on which the gateway asks the daemon. */
        socket: z.string().startsWith('/').max(100).default('/run/croft/ssh.sock'),
        /** The user, and the group of the same name, that the gateway runs as. */
        user: z.string().default('croft-ssh'),
      }),
    ])
    .prefault({}),
  network: z
    .strictObject({
      name: z
        .string()
        .regex(/^[a-z][a-z0-9-]{0,14}$/)
        .default('croft'),
      bridge: z
        .string()
        .regex(/^[a-z][a-z0-9-]{0,14}$/)
        .default('croft0'),
      subnet: z.string().default('10.77.0.0/16'),
      /** Followed by the 10 characters of an id, it is the name of a tap, which has at most 15. */
      tapPrefix: z
        .string()
        .regex(/^[a-z][a-z0-9-]{1,4}$/)
        .default('cv-'),
      /** Name of the nftables tables. */
      table: z
        .string()
        .regex(/^[a-z][a-z0-9_]{0,30}$/)
        .default('croft'),
    })
    .prefault({}),
  /** What is kept from VMs for the box itself. */
  reserve: z.strictObject({ memoryMiB: z.int().min(0).optional() }).prefault({}),
  defaults: z
    .strictObject({
      image: z.string().default('debian'),
      cpus: z.int().min(1).optional(),
      memoryMiB: z.int().min(128).optional(),
      /** Minutes without use until a VM is put to sleep; 0 for never. */
      sleepAfter: z.number().min(0).default(30),
      /** Seconds without use until a VM dozes; 0 for never. */
      dozeAfter: z.number().min(0).default(60),
    })
    .prefault({}),
})

export type Config = z.infer<typeof configSchema>
export type WebConfig = Exclude<Config['web'], false>
export type SshConfig = Exclude<Config['ssh'], false>

/**
 * Reads the configuration; a missing file counts as an empty one.
 * @throws CroftError `state-damaged`, which names the file and the first error in it
 */
export async function readConfig(path: string): Promise<Config> {
  const text = await readFile(path, 'utf8').catch((error) => {
    if (error.code === 'ENOENT') return '{}'
    throw error
  })
  const wrong = (why: string, cause?: unknown) =>
    new CroftError('state-damaged', `${path} can't be used: ${why}`, {
      hint: 'Correct it, then start Croft again.',
      cause,
    })
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch (error) {
    throw wrong(`it is not JSON: ${error instanceof Error ? error.message : error}.`, error)
  }
  const result = configSchema.safeParse(raw)
  if (result.success) return result.data
  throw wrong(wrongIn(raw, result.error))
}
