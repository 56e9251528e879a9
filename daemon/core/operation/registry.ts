import type { Operation } from '../../store/index.ts'
import { adoptOperation } from '../backup/adopt.ts'
import type { Box } from '../box.ts'
import { restoreOperation } from '../checkpoint/restore.ts'
import { checkpointOperation } from '../checkpoint/take.ts'
import { imageBuildOperation } from '../image/build.ts'
import { goldenOperation } from '../image/golden.ts'
import { claimOperation, spareOperation } from '../image/spares.ts'
import { compactionFaultPoint, compactionOperation } from '../layer/compaction-operation.ts'
import { garbageFaultPoints } from '../layer/garbage.ts'
import { baseFaultPoint, baseOperation } from '../memory-base/make.ts'
import { proofOperation } from '../memory-base/prove.ts'
import { compressFaultPoint, compressOperation } from '../sleep/compress.ts'
import { dozeFaultPoints } from '../sleep/doze.ts'
import { sleepOperation } from '../sleep/sleep.ts'
import { wakeOperation } from '../sleep/wake.ts'
import { newOperation } from '../vm/create.ts'
import { rmOperation } from '../vm/remove.ts'
import { renameOperation } from '../vm/rename.ts'
import { resizeOperation } from '../vm/resize.ts'
import type { OperationDefinition, OperationKind, OperationOf } from './definition.ts'
import { recover } from './engine.ts'

/** The definition of each kind of operation. Recovery needs it, because it starts from an operation's record alone. */
const definitions: { [K in OperationKind]: OperationDefinition<OperationOf<K>> } = {
  new: newOperation,
  spare: spareOperation,
  claim: claimOperation,
  rm: rmOperation,
  rename: renameOperation,
  resize: resizeOperation,
  checkpoint: checkpointOperation,
  restore: restoreOperation,
  sleep: sleepOperation,
  wake: wakeOperation,
  golden: goldenOperation,
  'image-build': imageBuildOperation,
  adopt: adoptOperation,
  merge: compactionOperation,
  compress: compressOperation,
  base: baseOperation,
  proof: proofOperation,
}

/** Every place where a test may kill the daemon: before each step and each commit, and as a VM dozes. */
export const faultPoints: readonly string[] = [
  ...Object.entries(definitions).flatMap(([kind, definition]) => [
    ...definition.steps.map((step) => `${kind}.${step.name}`),
    `${kind}.end`,
  ]),
  ...garbageFaultPoints,
  compactionFaultPoint,
  compressFaultPoint,
  baseFaultPoint,
  ...dozeFaultPoints,
]

/**
 * Recovers an operation if it is still open; the caller holds its lock. The operation's own caller may have closed it
 * meanwhile. @throws as `recover`
 */
export async function recoverIfOpen(box: Box, operation: Operation): Promise<void> {
  if (!box.store.state.operations[operation.id]) return
  const how = await recover(box, definitions[operation.kind] as unknown as OperationDefinition<Operation>, operation)
  box.log.info({ operation }, `an open operation was ${how}`)
}
