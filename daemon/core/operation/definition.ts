import type { Operation, State } from '../../store/index.ts'
import type { Box, Report } from '../box.ts'

export type OperationKind = Operation['kind']
export type OperationOf<K extends OperationKind> = Extract<Operation, { kind: K }>

/** A step may run again after it has run, wholly or in part; an undo may find nothing to take back. */
export interface Step<O> {
  name: string
  /** @param signal aborted when whoever asked takes it back, or when someone else needs what it works on */
  run(box: Box, operation: O, report: Report, signal: AbortSignal): Promise<void>
  undo?(box: Box, operation: O): Promise<void>
}

export type Recovery = 'undo' | 'finish'

/**
 * How a change of several steps is made so that it happens or does not, whatever kills the daemon:
 * the operation's record is in the store before the first step and leaves it, together with the change's
 * result (`commit`), after the last. What is found open at the next start is finished or undone.
 */
export interface OperationDefinition<O> {
  /** What becomes of an operation that was cut off: take back what it did, or do the rest; where it depends, look. */
  recovery: Recovery | ((box: Box, operation: O) => Promise<Recovery>)
  steps: readonly Step<O>[]
  commit(state: State, operation: O): State
  /** The store without the operation's effects. Needed for `undo` only. */
  rollback?(state: State, operation: O): State
}

/** Does a part of something, and writes into the log how long it took. */
export async function timed<T>(box: Box, step: string, work: () => Promise<T>): Promise<T> {
  const began = performance.now()
  try {
    return await work()
  } finally {
    box.log.debug({ step, ms: performance.now() - began }, 'step')
  }
}
