import { z } from 'zod'
import { limitsSchema } from './vm.ts'

/** A qcow2 file. Only the VM whose disk it is writes it; a layer that is nobody's disk is never written again. */
export const layerSchema = z.object({
  id: z.string(),
  /** Path relative to the state folder. */
  file: z.string(),
  /** Id of the layer beneath it, its backing file; null for an image's. */
  parent: z.string().nullable(),
  createdAt: z.iso.datetime(),
})

/** The hardware that a guest's memory was saved on; the memory can't be loaded on any other. */
export const hardwareSchema = z.object({
  /** Digest of the devices: of the domain's XML without the parts that differ from VM to VM. */
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

/** The memory of a guest, saved in a file that is never written again; compressing it moves it to another file. */
export const memorySchema = z.object({
  id: z.string(),
  /** libvirt's save image, its stream compressed or not; path relative to the state folder. */
  file: z.string(),
  hardware: hardwareSchema,
  /** Id of the memory base that its guest mapped; null for none. The file may have only what differs from it. */
  base: z.string().nullable(),
  createdAt: z.iso.datetime(),
})

/** A memory base: memory that the guests of several VMs map. Its file is never written again. */
export const memoryBaseSchema = z.object({
  id: z.string(),
  /** See adapters/libvirt/memory/base-file.ts; path relative to the state folder. */
  file: z.string(),
  memoryMiB: z.int(),
  /**
   * Id of the running VM, or of the saved memory, that copies are made from often; null for the base of a golden
   * checkpoint. The base goes when it has not been used for a while.
   */
  of: z.string().nullable(),
  /** What is left of that memory without the base: a save image; path relative to the state folder. Null with `of`. */
  rest: z.string().nullable(),
  createdAt: z.iso.datetime(),
})

/** A layer and, for a VM that ran, its memory at the same instant. */
export const checkpointSchema = z.object({
  id: z.string(),
  /**
   * `asked`: requested by a person or program; `scheduled`; `before-restore`: taken before another one was restored;
   * `copy`: exists only while copies are made from it, or while it is backed up; `golden`: new VMs of an image are forks
   * of it; `backup`: it came back from a backup.
   */
  kind: z.enum(['asked', 'scheduled', 'before-restore', 'copy', 'golden', 'backup']),
  /** Its name, unique among the checkpoints of its VM. */
  label: z.string(),
  /** Id of its VM; null for a golden one, which belongs to its image. */
  vm: z.string().nullable(),
  image: z.string(),
  layer: z.string(),
  memory: z.string().nullable(),
  /** Id of the checkpoint that the VM's disk was based on when this one was taken. */
  parent: z.string().nullable(),
  limits: limitsSchema,
  createdAt: z.iso.datetime(),
  usedAt: z.iso.datetime(),
})

export type Hardware = z.infer<typeof hardwareSchema>

export type Memory = z.infer<typeof memorySchema>

export type MemoryBase = z.infer<typeof memoryBaseSchema>

export type Checkpoint = z.infer<typeof checkpointSchema>

export type Layer = z.infer<typeof layerSchema>
