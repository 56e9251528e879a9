import { z } from 'zod'
import { imageSchema } from './image.ts'
import { checkpointSchema, layerSchema, memoryBaseSchema, memorySchema } from './layer.ts'
import { limitsSchema } from './vm.ts'

const operationBase = z.object({ id: z.string(), startedAt: z.iso.datetime() })

export const operationSchema = z.discriminatedUnion('kind', [
  /** `from`: the checkpoint that the VM is a fork of. `asleep`: the VM stays asleep in that checkpoint's memory. */
  operationBase.extend({ kind: z.literal('new'), vm: z.string(), from: z.string().nullable(), asleep: z.boolean() }),
  operationBase.extend({ kind: z.literal('spare'), vm: z.string(), from: z.string() }),
  /** A spare becomes a VM. `from`: the checkpoint that it was loaded from. */
  operationBase.extend({ kind: z.literal('claim'), vm: z.string(), from: z.string() }),
  operationBase.extend({ kind: z.literal('rm'), vm: z.string() }),
  operationBase.extend({ kind: z.literal('rename'), vm: z.string(), to: z.string() }),
  operationBase.extend({ kind: z.literal('resize'), vm: z.string(), limits: limitsSchema }),
  /** The records that it will add: the checkpoint, the VM's new disk and the saved memory, if any. */
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
  /** `file`: the path that the memory is compressed to. `vms`: ids of the VMs that sleep in it. */
  operationBase.extend({
    kind: z.literal('compress'),
    memory: z.string(),
    file: z.string(),
    vms: z.array(z.string()),
  }),
  /** `file`: the path for what is left of the memory when its pages are in the base. */
  operationBase.extend({
    kind: z.literal('base'),
    memory: z.string(),
    base: memoryBaseSchema,
    file: z.string(),
  }),
  /** A VM of Croft's own tries whether memory bases work here. `from`: the golden checkpoint that it is loaded from. */
  operationBase.extend({ kind: z.literal('proof'), vm: z.string(), from: z.string() }),
  /**
   * Layers that came from outside, and their image if the box has not got it, become a checkpoint. `staged`: the folder
   * that they were put in. `places`: each file's path in there, from the lowest layer up, and the layer's record.
   */
  operationBase.extend({
    kind: z.literal('adopt'),
    staged: z.string(),
    places: z.array(z.object({ from: z.string(), layer: layerSchema })),
    image: z.object({ record: imageSchema, kernel: z.string(), initrd: z.string() }).nullable(),
    checkpoint: checkpointSchema,
  }),
  operationBase.extend({ kind: z.literal('image-build'), image: z.string(), name: z.string() }),
  /** See core/layer/compaction-plan.ts. */
  operationBase.extend({
    kind: z.literal('merge'),
    way: z.enum(['commit', 'rebase', 'copy']),
    /** Id of the layer that keeps its content with fewer layers beneath it. */
    layer: z.string(),
    /** Ids of the layers beneath it that go, from the top down. */
    gone: z.array(z.string()).min(1),
    /** Id of the layer on top of it, whose backing file it is: only for a `commit` of a frozen layer. */
    above: z.string().nullable(),
    /** Id of the VM whose QEMU does the work: only for `commit`. */
    by: z.string().nullable(),
  }),
])

export type Operation = z.infer<typeof operationSchema>
