import { z } from 'zod'
import { keySchema, linkSchema, sessionSchema, tokenSchema } from './access.ts'
import { backupsSchema } from './backup.ts'
import { imageSchema } from './image.ts'
import { checkpointSchema, layerSchema, memoryBaseSchema, memorySchema } from './layer.ts'
import { operationSchema } from './operation.ts'
import { vmSchema } from './vm.ts'
import { hostSchema, webSchema } from './web.ts'

/** The store keeps what the owner wants and what Croft owns. Only libvirt knows what runs. */
export const stateVersion = 9

export const stateSchema = z.object({
  version: z.literal(stateVersion),
  /** Random, generated once: marks the libvirt domains that belong to this state folder. */
  instance: z.string(),
  vms: z.record(z.string(), vmSchema),
  layers: z.record(z.string(), layerSchema),
  memories: z.record(z.string(), memorySchema),
  memoryBases: z.record(z.string(), memoryBaseSchema),
  checkpoints: z.record(z.string(), checkpointSchema),
  images: z.record(z.string(), imageSchema),
  keys: z.record(z.string(), keySchema),
  sessions: z.record(z.string(), sessionSchema),
  links: z.record(z.string(), linkSchema),
  tokens: z.record(z.string(), tokenSchema),
  web: webSchema,
  /** By host name, in lower case. */
  hosts: z.record(z.string(), hostSchema),
  /** Whether the box's kernel deduplicates the memory of VMs (KSM). */
  samePages: z.boolean(),
  backups: backupsSchema,
  operations: z.record(z.string(), operationSchema),
  /** Where the search for a free address begins: an address rests as long as possible before it is reused. */
  nextAddress: z.int().min(0),
  /** The kernel's boot id when the daemon last ran: distinguishes a reboot of the box from a restart of the daemon. */
  bootId: z.string(),
  accelerator: z.object({ kind: z.enum(['kvm', 'tcg']), why: z.string(), checkedAt: z.iso.datetime() }).nullable(),
  /** Whether guests can map memory bases here, as was tried with this QEMU; null when it was not tried yet. */
  memoryLayers: z
    .object({ works: z.boolean(), why: z.string(), qemu: z.string(), checkedAt: z.iso.datetime() })
    .nullable(),
})

export type State = z.infer<typeof stateSchema>
export type Accelerator = NonNullable<State['accelerator']>

export function emptyState(instance: string): State {
  return {
    version: stateVersion,
    instance,
    vms: {},
    layers: {},
    memories: {},
    memoryBases: {},
    checkpoints: {},
    images: {},
    keys: {},
    sessions: {},
    links: {},
    tokens: {},
    web: { domain: 'localhost', tls: { mode: 'off' } },
    hosts: {},
    samePages: false,
    backups: { plan: null, vms: {}, box: null },
    operations: {},
    nextAddress: 0,
    bootId: '',
    accelerator: null,
    memoryLayers: null,
  }
}
