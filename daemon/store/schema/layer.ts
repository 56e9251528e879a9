import { z } from 'zod'
import { limitsSchema } from './vm.ts'

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

export type Hardware = z.infer<typeof hardwareSchema>

export type Memory = z.infer<typeof memorySchema>

export type Checkpoint = z.infer<typeof checkpointSchema>

export type Layer = z.infer<typeof layerSchema>
