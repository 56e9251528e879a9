import type { Operation } from '../../store/index.ts'
import type { Box } from '../box.ts'
import { checkpointPlan, restorePlan } from '../checkpoint/checkpoint-plans.ts'
import { goldenPlan } from '../image/golden-plan.ts'
import { imageBuildPlan } from '../image/image-plans.ts'
import { claimPlan, sparePlan } from '../image/spare-plans.ts'
import { mergeFaultPoint, mergePlan } from '../layer/compaction-operation.ts'
import { collectFaultPoints } from '../layer/garbage.ts'
import { compressFaultPoint, compressPlan } from '../sleep/compress-plan.ts'
import { sleepPlan, wakePlan } from '../sleep/sleep-plans.ts'
import { newPlan, renamePlan, resizePlan, rmPlan } from '../vm/vm-plans.ts'
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
