import { z } from 'zod'

/** What the store keeps: what the user wants and what Croft owns. What runs is libvirt's to say, never the store's. */
export const stateVersion = 7

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

/** A qcow2 file. It is written by the one VM whose disk it is, or by nobody ever again. */
export const layerSchema = z.object({
  id: z.string(),
  /** Path relative to the state folder. */
  file: z.string(),
  /** Id of the layer beneath it, its backing file; null for an image's. */
  parent: z.string().nullable(),
  createdAt: z.iso.datetime(),
})

/** What a guest's memory was saved from: loaded into anything else it would not work. */
export const hardwareSchema = z.object({
  /** Digest of the devices: of the domain's XML without what differs from VM to VM. */
  devices: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  /** Digest of the CPU that the guest sees: the box's own under KVM. */
  cpu: z.string(),
  /** Versioned machine type. */
  machine: z.string(),
  qemu: z.string(),
  cpus: z.int(),
  memoryMiB: z.int(),
})

/** The memory of a guest, saved in a file that nobody writes again; in another one when it has been compressed. */
export const memorySchema = z.object({
  id: z.string(),
  /** libvirt's save image, its stream compressed or not; path relative to the state folder. */
  file: z.string(),
  hardware: hardwareSchema,
  createdAt: z.iso.datetime(),
})

/** A layer, and for a VM that ran its memory at that same instant. */
export const checkpointSchema = z.object({
  id: z.string(),
  /**
   * `asked` for, `scheduled`, taken `before-restore` of another; `copy`: only as long as copies are made from it;
   * `golden`: what new VMs of an image are forks of.
   */
  kind: z.enum(['asked', 'scheduled', 'before-restore', 'copy', 'golden']),
  /** What its VM calls it; one of its own among the VM's. */
  label: z.string(),
  /** Id of the VM that it is of; a golden one is its image's. */
  vm: z.string().nullable(),
  image: z.string(),
  layer: z.string(),
  memory: z.string().nullable(),
  /** Id of the checkpoint that the VM's disk went on from when this one was taken. */
  parent: z.string().nullable(),
  limits: limitsSchema,
  createdAt: z.iso.datetime(),
  usedAt: z.iso.datetime(),
})

export const imageSchema = z.object({
  id: z.string(),
  name: z.string(),
  /** False once a newer build took the name, or `image rm`: kept only while a VM needs it. */
  current: z.boolean(),
  layer: z.string(),
  /** Paths relative to the state folder. */
  kernel: z.string(),
  initrd: z.string(),
  cmdline: z.string(),
  user: z.string(),
  ports: z.array(z.int()),
  version: z.string(),
  diskGiB: z.int(),
  createdAt: z.iso.datetime(),
})

export const keySchema = z.object({
  /** `SHA256:…`, as ssh-keygen prints it. */
  fingerprint: z.string(),
  name: z.string(),
  /** Type and base64 of the key, as in an authorized_keys line, without options or comment. */
  publicKey: z.string(),
  /** Id of the one VM that it may enter, or the tag of those that it may; nulls for all, and one of them always is. */
  vm: z.string().nullable(),
  tag: z.string().nullable(),
  /** Whether it is that of a CA: who has a certificate signed with it may enter. */
  authority: z.boolean(),
  createdAt: z.iso.datetime(),
})

/** The owner, signed in at one host name. The key of its record is the SHA-256 of its token, in hexadecimal. */
export const sessionSchema = z.object({
  id: z.string(),
  host: z.string(),
  /** Id of the session that it came from: its own at Croft's own addresses. They end together. */
  signIn: z.string(),
  /** What the browser calls itself, and the address that it came from: said by whoever came. */
  agent: z.string(),
  from: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** Lets whoever has it into one address of a VM. */
export const linkSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  vm: z.string(),
  /** Null: what the VM's plain address leads to. */
  port: z.int().nullable(),
  /** Whom it was given to; may be empty. */
  name: z.string(),
  createdAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
})

/** Lets a program in: into web addresses, and to commands. */
export const tokenSchema = z.object({
  id: z.string(),
  /** SHA-256 of its secret, in hexadecimal. */
  digest: z.string(),
  /** What it is for; may be empty. */
  name: z.string(),
  /** Id of the one VM that it is for; null for all. */
  vm: z.string().nullable(),
  /** Names of the commands that it may run, `web` for web addresses among them; null for all. */
  commands: z.array(z.string()).nullable(),
  createdAt: z.iso.datetime(),
  /** Null: it does not end by itself. */
  expiresAt: z.iso.datetime().nullable(),
})

/** How certificates come about: from a CA by ACME (null: the usual one), from Caddy's own CA, or not at all. */
export const tlsSchema = z.discriminatedUnion('mode', [
  z.object({ mode: z.literal('off') }),
  z.object({ mode: z.literal('internal') }),
  z.object({
    mode: z.literal('acme'),
    /** URL of the CA's directory. */
    directory: z.string().nullable(),
    /** Certificate of the CA that the directory's own is from, in PEM. */
    root: z.string().nullable(),
    email: z.string().nullable(),
  }),
])

export const webSchema = z.object({
  /** Name beneath which the VMs are. */
  domain: z.string(),
  tls: tlsSchema,
})

/** A host name of its own for a VM. */
export const hostSchema = z.object({
  host: z.string(),
  vm: z.string(),
  /** Null: what the VM's plain address leads to. */
  port: z.int().nullable(),
  createdAt: z.iso.datetime(),
})

const operationBase = z.object({ id: z.string(), startedAt: z.iso.datetime() })
export const operationSchema = z.discriminatedUnion('kind', [
  /** `from`: the checkpoint that it is a fork of. `asleep`: it is left in the memory that it has from there. */
  operationBase.extend({ kind: z.literal('new'), vm: z.string(), from: z.string().nullable(), asleep: z.boolean() }),
  operationBase.extend({ kind: z.literal('spare'), vm: z.string(), from: z.string() }),
  /** A spare becomes a VM. `from`: the checkpoint that it was loaded from. */
  operationBase.extend({ kind: z.literal('claim'), vm: z.string(), from: z.string() }),
  operationBase.extend({ kind: z.literal('rm'), vm: z.string() }),
  operationBase.extend({ kind: z.literal('rename'), vm: z.string(), to: z.string() }),
  operationBase.extend({ kind: z.literal('resize'), vm: z.string(), limits: limitsSchema }),
  /** The records that the checkpoint brings: itself, the VM's new disk, the memory that is saved, if any. */
  operationBase.extend({
    kind: z.literal('checkpoint'),
    vm: z.string(),
    checkpoint: checkpointSchema,
    disk: layerSchema,
    memory: memorySchema.nullable(),
  }),
  operationBase.extend({ kind: z.literal('sleep'), vm: z.string(), memory: memorySchema }),
  operationBase.extend({ kind: z.literal('wake'), vm: z.string() }),
  operationBase.extend({ kind: z.literal('restore'), vm: z.string(), checkpoint: z.string(), disk: layerSchema }),
  operationBase.extend({
    kind: z.literal('golden'),
    vm: z.string(),
    checkpoint: checkpointSchema,
    memory: memorySchema,
  }),
  /** `file`: what the memory is compressed into. `vms`: ids of those that sleep in it. */
  operationBase.extend({
    kind: z.literal('compress'),
    memory: z.string(),
    file: z.string(),
    vms: z.array(z.string()),
  }),
  operationBase.extend({ kind: z.literal('image-build'), image: z.string(), name: z.string() }),
  /** See merge-planner.ts. */
  operationBase.extend({
    kind: z.literal('merge'),
    way: z.enum(['commit', 'rebase', 'copy']),
    /** Id of the layer that is to hold what it shows with less beneath it. */
    layer: z.string(),
    /** Ids of the layers beneath it that go, from the top down. */
    gone: z.array(z.string()).min(1),
    /** Id of the layer on top of it whose file names it: `commit` of a frozen layer only. */
    above: z.string().nullable(),
    /** Id of the VM whose QEMU does it: `commit` only. */
    by: z.string().nullable(),
  }),
])

export const stateSchema = z.object({
  version: z.literal(stateVersion),
  /** Random, made once: marks the libvirt domains that belong to this state folder. */
  instance: z.string(),
  vms: z.record(z.string(), vmSchema),
  layers: z.record(z.string(), layerSchema),
  memories: z.record(z.string(), memorySchema),
  checkpoints: z.record(z.string(), checkpointSchema),
  images: z.record(z.string(), imageSchema),
  keys: z.record(z.string(), keySchema),
  sessions: z.record(z.string(), sessionSchema),
  links: z.record(z.string(), linkSchema),
  tokens: z.record(z.string(), tokenSchema),
  web: webSchema,
  /** By host name, in lower case. */
  hosts: z.record(z.string(), hostSchema),
  /** Whether the box's kernel looks for pages of VMs that are the same, and keeps one of them (KSM). */
  samePages: z.boolean(),
  operations: z.record(z.string(), operationSchema),
  /** Where the search for a free address begins: an address rests as long as possible before it is used again. */
  nextAddress: z.int().min(0),
  /** The kernel's boot id when the daemon last ran: tells a reboot of the box from a restart of the daemon. */
  bootId: z.string(),
  accelerator: z.object({ kind: z.enum(['kvm', 'tcg']), why: z.string(), checkedAt: z.iso.datetime() }).nullable(),
})

export type State = z.infer<typeof stateSchema>
export type Vm = z.infer<typeof vmSchema>
export type Limits = z.infer<typeof limitsSchema>
export type Rates = z.infer<typeof ratesSchema>
export type Hardware = z.infer<typeof hardwareSchema>
export type Memory = z.infer<typeof memorySchema>
export type Checkpoint = z.infer<typeof checkpointSchema>
export type Image = z.infer<typeof imageSchema>
export type Layer = z.infer<typeof layerSchema>
export type Link = z.infer<typeof linkSchema>
export type Session = z.infer<typeof sessionSchema>
export type Token = z.infer<typeof tokenSchema>
export type Tls = z.infer<typeof tlsSchema>
export type WebSettings = z.infer<typeof webSchema>
export type CustomHost = z.infer<typeof hostSchema>
export type Key = z.infer<typeof keySchema>
export type Operation = z.infer<typeof operationSchema>
export type Accelerator = NonNullable<State['accelerator']>

export function emptyState(instance: string): State {
  return {
    version: stateVersion,
    instance,
    vms: {},
    layers: {},
    memories: {},
    checkpoints: {},
    images: {},
    keys: {},
    sessions: {},
    links: {},
    tokens: {},
    web: { domain: 'localhost', tls: { mode: 'off' } },
    hosts: {},
    samePages: false,
    operations: {},
    nextAddress: 0,
    bootId: '',
    accelerator: null,
  }
}
