import { z } from 'zod'

export const priorities = ['low', 'normal', 'high'] as const

/** When a VM that is not running is started without being asked for. */
export const restartPolicies = ['never', 'on-crash'] as const

export const limitsSchema = z.object({
  /** Number of virtual CPUs. */
  cpus: z.int().min(1),
  /** Ceiling in MiB; a VM costs only what it touches of it. */
  memoryMiB: z.int().min(128),
  /** Virtual size of the disk in GiB; sparse. */
  diskGiB: z.int().min(1),
})

/** The most that a VM takes of the box at any time; null for no limit. */
export const ratesSchema = z.object({
  /** Percent of one CPU, for all that it runs and all that is done for it. */
  cpuPercent: z.int().min(1).nullable(),
  /** Read and written together. */
  diskBytesPerS: z.int().min(1).nullable(),
  /** Each way. */
  netBitsPerS: z.int().min(1).nullable(),
})

export const noRates: Rates = { cpuPercent: null, diskBytesPerS: null, netBitsPerS: null }

export const vmSchema = z.object({
  id: z.string().regex(/^vm_[a-z2-7]{10}$/),
  /** UUID of the libvirt domain. */
  uuid: z.uuid(),
  name: z.string(),
  /** Id of the image the VM boots its kernel from. */
  image: z.string(),
  /** Id of the layer that is its own disk, the one that it writes. */
  disk: z.string(),
  mac: z.string(),
  ip: z.ipv4(),
  machineId: z.string().regex(/^[0-9a-f]{32}$/),
  limits: limitsSchema,
  env: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  comment: z.string(),
  createdAt: z.iso.datetime(),
  /** Id of the memory that it sleeps in: loaded when it wakes. Null while it runs, and when it is shut down. */
  memory: z.string().nullable(),
  /** Id of the checkpoint that its disk goes on from; null when there is none. */
  checkpoint: z.string().nullable(),
  /** Minutes without use until it is put to sleep; 0 for never, null for what the box does. */
  sleepAfter: z.int().min(0).nullable(),
  restart: z.enum(restartPolicies),
  /** How it stands beside other VMs when CPUs or disks are short. */
  priority: z.enum(priorities),
  rates: ratesSchema,
  /** How many of the latest scheduled checkpoints are kept, by the hour and by the day. */
  schedule: z.object({ hourly: z.int().min(0), daily: z.int().min(0) }),
  /** How it is reached by the web: its main port, null to look which one listens; the ports that anybody may open. */
  web: z.object({ port: z.int().min(1).max(65535).nullable(), public: z.array(z.int().min(1).max(65535)) }),
  /**
   * `making` until `new` has finished; `leaving` from the first step of `rm`. Croft's own: `golden`, of which a golden
   * checkpoint is being made, and `spare`, loaded from one and not running, for the next `new`.
   */
  phase: z.enum(['making', 'ready', 'leaving', 'golden', 'spare']),
  /** What the owner wants after a reboot of the box. */
  power: z.enum(['on', 'off']),
})

export type Vm = z.infer<typeof vmSchema>

export type Limits = z.infer<typeof limitsSchema>

export type Rates = z.infer<typeof ratesSchema>
