import type { Operation } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { restorePlan } from '../checkpoint/restore.ts'
import { checkpointPlan } from '../checkpoint/take.ts'
import { imageBuildPlan } from '../image/build.ts'
import { goldenPlan } from '../image/golden.ts'
import { claimPlan, sparePlan } from '../image/spares.ts'
import { mergeFaultPoint, mergePlan } from '../layer/compaction-operation.ts'
import { collectFaultPoints } from '../layer/garbage.ts'
import { compressFaultPoint, compressPlan } from '../sleep/compress.ts'
import { sleepPlan } from '../sleep/sleep.ts'
import { wakePlan } from '../sleep/wake.ts'
import { newPlan } from '../vm/create.ts'
import { rmPlan } from '../vm/remove.ts'
import { renamePlan } from '../vm/rename.ts'
import { resizePlan } from '../vm/resize.ts'
import { recover } from './engine.ts'
import type { Kind, OperationOf, Plan } from './plan.ts'

/** The plan of each kind of operation: what recovers one that was found open knows only its record. */
const plans: { [K in Kind]: Plan<OperationOf<K>> } = {
  new: newPlan,
  spare: sparePlan,
  claim: claimPlan,
  rm: rmPlan,
  rename: renamePlan,
  resize: resizePlan,
  checkpoint: checkpointPlan,
  restore: restorePlan,
  sleep: sleepPlan,
  wake: wakePlan,
  golden: goldenPlan,
  'image-build': imageBuildPlan,
  merge: mergePlan,
  compress: compressPlan,
}

/** Every place where a test may kill the daemon: before each step, and before the end is recorded. */
export const faultPoints: readonly string[] = [
  ...Object.entries(plans).flatMap(([kind, plan]) => [
    ...plan.steps.map((step) => `${kind}.${step.name}`),
    `${kind}.end`,
  ]),
  ...collectFaultPoints,
  mergeFaultPoint,
  compressFaultPoint,
]

/** Recovers an operation whose lock is held, if it is still open: its own caller may have ended it meanwhile. @throws as `recover` */
export async function recoverIfOpen(box: Box, operation: Operation): Promise<void> {
  if (!box.store.state.operations[operation.id]) return
  const how = await recover(box, plans[operation.kind] as unknown as Plan<Operation>, operation)
  box.log.info({ operation }, `an operation that was left open is ${how}`)
}
