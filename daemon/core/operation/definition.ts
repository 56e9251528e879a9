import type { Operation, State } from '../../store/index.ts'
import type { Box, Report } from '../box.ts'

export type OperationKind = Operation['kind']
export type OperationOf<K extends OperationKind> = Extract<Operation, { kind: K }>

/** Steps are idempotent: one may run again after it has run, wholly or in part. An undo may find nothing to undo. */
export interface Step<O> {
  name: string
  /** @param signal aborted when the caller cancels, or when someone else needs what the step works on */
  run(box: Box, operation: O, report: Report, signal: AbortSignal): Promise<void>
  undo?(box: Box, operation: O): Promise<void>
}

export type Recovery = 'undo' | 'finish'

/**
 * A change of several steps that either happens or doesn't, whatever kills the daemon. The operation's record enters
 * the store before the first step; after the last it leaves, in the same write that stores the result (`commit`).
 * Operations that are still open at the next start are finished or undone.
 */
export interface OperationDefinition<O> {
  /** What to do with an operation that was cut off: undo it or finish it; a function where that depends. */
  recovery: Recovery | ((box: Box, operation: O) => Promise<Recovery>)
  steps: readonly Step<O>[]
  commit(state: State, operation: O): State
  /** The state without the operation's effects. Used for `undo` only. */
  rollback?(state: State, operation: O): State
}

/** Does `work` and logs how long it took. */
export async function timed<T>(box: Box, step: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  try {
    return await work()
  } finally {
    box.log.debug({ step, ms: performance.now() - began }, 'step')
  }
}
