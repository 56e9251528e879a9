import { z } from 'zod'

/** What the store keeps: what the user wants and what Croft owns. What runs is libvirt's to say, never the store's. */
export const stateVersion = 1

export const limitsSchema = z.object({
  /** Number of virtual CPUs. */
  cpus: z.int().min(1),
  /** Ceiling in MiB; a VM costs only what it touches of it. */
  memoryMiB: z.int().min(128),
  /** Virtual size of the disk in GiB; sparse. */
  diskGiB: z.int().min(1),
})

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
  /** `making` until `new` has finished; `leaving` from the first step of `rm`. */
  phase: z.enum(['making', 'ready', 'leaving']),
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
  createdAt: z.iso.datetime(),
})

const operationBase = z.object({ id: z.string(), startedAt: z.iso.datetime() })
export const operationSchema = z.discriminatedUnion('kind', [
  operationBase.extend({ kind: z.literal('new'), vm: z.string() }),
  operationBase.extend({ kind: z.literal('rm'), vm: z.string() }),
  operationBase.extend({ kind: z.literal('rename'), vm: z.string(), to: z.string() }),
  operationBase.extend({ kind: z.literal('resize'), vm: z.string(), limits: limitsSchema }),
  operationBase.extend({ kind: z.literal('image-build'), image: z.string(), name: z.string() }),
])

export const stateSchema = z.object({
  version: z.literal(stateVersion),
  /** Random, made once: marks the libvirt domains that belong to this state folder. */
  instance: z.string(),
  vms: z.record(z.string(), vmSchema),
  layers: z.record(z.string(), layerSchema),
  images: z.record(z.string(), imageSchema),
  keys: z.record(z.string(), keySchema),
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
export type Image = z.infer<typeof imageSchema>
export type Layer = z.infer<typeof layerSchema>
export type Key = z.infer<typeof keySchema>
export type Operation = z.infer<typeof operationSchema>
export type Accelerator = NonNullable<State['accelerator']>

export function emptyState(instance: string): State {
  return {
    version: stateVersion,
    instance,
    vms: {},
    layers: {},
    images: {},
    keys: {},
    operations: {},
    nextAddress: 0,
    bootId: '',
    accelerator: null,
  }
}
