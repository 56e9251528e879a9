import { z } from 'zod'

export const priorities = ['low', 'normal', 'high'] as const

/** When Croft restarts a VM that has stopped running. */
export const restartPolicies = ['never', 'on-crash'] as const

export const limitsSchema = z.object({
  /** Number of virtual CPUs. */
  cpus: z.int().min(1),
  /** Upper limit in MiB; a VM costs only the memory that it touches. */
  memoryMiB: z.int().min(128),
  /** Virtual size of the disk in GiB; sparse. */
  diskGiB: z.int().min(1),
})

/** Limits on what a VM takes of the box at any time; null for no limit. */
export const ratesSchema = z.object({
  /** Percent of one CPU, for everything that the VM runs and everything that QEMU does for it. */
  cpuPercent: z.int().min(1).nullable(),
  /** Reads and writes together. */
  diskBytesPerS: z.int().min(1).nullable(),
  /** In each direction. */
  netBitsPerS: z.int().min(1).nullable(),
})

export const noRates: Rates = { cpuPercent: null, diskBytesPerS: null, netBitsPerS: null }

/** What a VM that sleeps or dozes is woken for. */
export const appointmentSchema = z.object({ at: z.iso.datetime(), what: z.string().max(120) })

export const vmSchema = z.object({
  id: z.string().regex(/^vm_[a-z2-7]{10}$/),
  /** UUID of the libvirt domain. */
  uuid: z.uuid(),
  name: z.string(),
  /** Id of the image the VM boots its kernel from. */
  image: z.string(),
  /** Id of the layer that is its own disk: the one it writes. */
  disk: z.string(),
  mac: z.string(),
  ip: z.ipv4(),
  machineId: z.string().regex(/^[0-9a-f]{32}$/),
  limits: limitsSchema,
  env: z.record(z.string(), z.string()),
  tags: z.array(z.string()),
  comment: z.string(),
  createdAt: z.iso.datetime(),
  /** Id of the memory that it sleeps in, loaded when it wakes. Null while it runs, and when it is shut down. */
  memory: z.string().nullable(),
  /** It dozes: its QEMU keeps its memory and stands still. Set before it is suspended, cleared once it can be used again. */
  dozing: z.boolean(),
  /** Id of the checkpoint that its disk is based on; null when there is none. */
  checkpoint: z.string().nullable(),
  /** Minutes without use until it is put to sleep; 0 for never, null for the box's default. */
  sleepAfter: z.int().min(0).nullable(),
  /** The first thing that is due in it while it sleeps or dozes; null for nothing, and while it is awake. */
  appointment: appointmentSchema.nullable(),
  /** Whether its timers and cron jobs wake it. */
  keepsAppointments: z.boolean(),
  restart: z.enum(restartPolicies),
  /** Its priority over other VMs when CPUs or disks are short. */
  priority: z.enum(priorities),
  rates: ratesSchema,
  /** How many of the latest scheduled checkpoints are kept, by the hour and by the day. */
  schedule: z.object({ hourly: z.int().min(0), daily: z.int().min(0) }),
  /** Web access: its main port, null to find out which one listens; the ports that are public. */
  web: z.object({ port: z.int().min(1).max(65535).nullable(), public: z.array(z.int().min(1).max(65535)) }),
  /**
   * `making` until `new` has finished; `leaving` from the first step of `rm`. Croft's own VMs: `golden`, from which a
   * golden checkpoint is being made, and `spare`, loaded from one and paused, for the next `new`.
   */
  phase: z.enum(['making', 'ready', 'leaving', 'golden', 'spare']),
  /** Whether it should run after a reboot of the box. */
  power: z.enum(['on', 'off']),
})

export type Vm = z.infer<typeof vmSchema>

export type Appointment = z.infer<typeof appointmentSchema>

export type Limits = z.infer<typeof limitsSchema>

export type Rates = z.infer<typeof ratesSchema>
