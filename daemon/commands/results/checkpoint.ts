import { z } from 'zod'
import { type Box, layerOf } from '../../core/box.ts'
import type { Checkpoint } from '../../store/index.ts'
import { layerBytes, savedMemoryBytes } from './measures.ts'

/** A checkpoint, as all commands return it. */
export const checkpointResult = z.object({
  label: z.string(),
  id: z.string(),
  /** `asked` for, `scheduled`, or taken by Croft `before-restore` of another checkpoint. */
  kind: z.string(),
  /** Label of the checkpoint that the VM's disk was based on when this one was taken. */
  parent: z.string().nullable(),
  /** Whether the VM's disk is based on it now. */
  current: z.boolean(),
  /** Whether it has memory: a restore then brings back the running processes. */
  memory: z.boolean(),
  layerBytes,
  savedMemoryBytes,
  createdAt: z.string(),
})
export type CheckpointResult = z.infer<typeof checkpointResult>

export async function describeCheckpoint(box: Box, checkpoint: Checkpoint): Promise<CheckpointResult> {
  const { label, id, kind, parent, memory, layer, vm, createdAt } = checkpoint
  const { checkpoints, memories, vms } = box.store.state
  return {
    label,
    id,
    kind,
    parent: parent === null ? null : (checkpoints[parent]?.label ?? null),
    current: vm !== null && vms[vm]?.checkpoint === id,
    memory: memory !== null,
    layerBytes: await box.files.usage(layerOf(box.store.state, layer).file),
    savedMemoryBytes: memory === null ? 0 : await box.files.usage(memories[memory]!.file),
    createdAt,
  }
}
