import { fault } from '../../lib/async/fault.ts'
import { CroftError } from '../../lib/error.ts'
import type { Operation, State } from '../../store/index.ts'
import { type Box, type Report, without } from '../box.ts'
import { type OperationDefinition, type Recovery, timed } from './definition.ts'

/**
 * Executes a new operation. The state that `begin` returns is stored together with the operation's record; `begin` may
 * refuse by throwing. When a step fails, an operation whose recovery is `undo` is undone before the error is rethrown;
 * one whose recovery is `finish` stays open and is retried by `recover`.
 * @param signal cancels: steps receive it, and an operation whose recovery is `undo` is undone before its next step or
 * its commit
 */
export async function execute<O extends Operation>(
  box: Box,
  definition: OperationDefinition<O>,
  operation: O,
  begin: (state: State) => State,
  report: Report = () => {},
  signal: AbortSignal = never(),
): Promise<void> {
  await box.store.update((state) => {
    const begun = begin(state)
    return { ...begun, operations: { ...begun.operations, [operation.id]: operation } }
  })
  try {
    await finish(box, definition, operation, report, signal)
  } catch (error) {
    await recoveryOf(box, definition, operation)
      .then((way) => (way === 'undo' ? undo(box, definition, operation) : undefined))
      .catch((err) => box.log.error({ operation, err }, 'could not undo an operation; it is retried later'))
    throw signal.aborted && definition.recovery === 'undo'
      ? new CroftError('cancelled', 'Cancelled. The change is rolled back.', { cause: error })
      : error
  }
}

/** Finishes or undoes an open operation. Idempotent. @throws what its steps throw; the operation then stays open */
export async function recover<O extends Operation>(
  box: Box,
  definition: OperationDefinition<O>,
  operation: O,
): Promise<'finished' | 'undone'> {
  if ((await recoveryOf(box, definition, operation)) === 'finish') {
    await finish(box, definition, operation, () => {}, never())
    return 'finished'
  }
  await undo(box, definition, operation)
  return 'undone'
}

/** The key of the lock that an operation holds while it is executed. */
export function lockOf(operation: Operation): string {
  if (operation.kind === 'merge') return operation.layer
  if (operation.kind === 'compress' || operation.kind === 'base') return operation.memory
  if (operation.kind === 'adopt') return operation.checkpoint.id
  return 'vm' in operation ? operation.vm : `image ${operation.name}`
}

/** @throws when that can't be determined now: the operation then stays open and is finished or undone later */
async function recoveryOf<O extends Operation>(
  box: Box,
  definition: OperationDefinition<O>,
  operation: O,
): Promise<Recovery> {
  return typeof definition.recovery === 'string' ? definition.recovery : definition.recovery(box, operation)
}

async function finish<O extends Operation>(
  box: Box,
  definition: OperationDefinition<O>,
  operation: O,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const check = () => {
    if (definition.recovery === 'undo' && signal.aborted)
      throw new CroftError('cancelled', 'The request was cancelled.')
  }
  for (const step of definition.steps) {
    check()
    fault(`${operation.kind}.${step.name}`)
    await timed(box, `${operation.kind}.${step.name}`, () => step.run(box, operation, report, signal))
  }
  check()
  fault(`${operation.kind}.end`)
  await box.store.update((state) => close(definition.commit(state, operation), operation))
}

async function undo<O extends Operation>(box: Box, definition: OperationDefinition<O>, operation: O): Promise<void> {
  const failures: unknown[] = []
  for (const step of definition.steps.toReversed()) {
    await step.undo?.(box, operation).catch((error) => failures.push(error))
  }
  if (failures.length) throw failures[0]
  const { rollback } = definition
  await box.store.update((state) => close(rollback ? rollback(state, operation) : state, operation))
}

function close(state: State, operation: Operation): State {
  return { ...state, operations: without(state.operations, operation.id) }
}

/** A signal that is never aborted. */
const never = (): AbortSignal => new AbortController().signal
