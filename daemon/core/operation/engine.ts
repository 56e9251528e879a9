import { CroftError } from '../../lib/error.ts'
import { fault } from '../../lib/fault.ts'
import type { Operation, State } from '../../store/index.ts'
import { type Box, type Report, without } from '../box.ts'
import { type Plan, type Recovery, timed } from './plan.ts'

/**
 * Carries out a new operation. `begin` is stored together with its record, and may refuse by throwing.
 * When a step fails, an operation to be undone is undone before the error is passed on;
 * one to be finished stays open and is tried again by `recover`.
 * @param signal ends it: its steps get it, and one that is to be undone is, before its next step or its end
 */
export async function carryOut<O extends Operation>(
  box: Box,
  plan: Plan<O>,
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
    await finish(box, plan, operation, report, signal)
  } catch (error) {
    await recoveryOf(box, plan, operation)
      .then((way) => (way === 'undo' ? undo(box, plan, operation) : undefined))
      .catch((err) => box.log.error({ operation, err }, 'taking back is tried again later'))
    throw signal.aborted && plan.recovery === 'undo'
      ? new CroftError('cancelled', 'What was begun is taken back.', { cause: error })
      : error
  }
}

/** Finishes or undoes an operation found open; safe to repeat. @throws what its steps throw; it then stays open */
export async function recover<O extends Operation>(
  box: Box,
  plan: Plan<O>,
  operation: O,
): Promise<'finished' | 'undone'> {
  if ((await recoveryOf(box, plan, operation)) === 'finish') {
    await finish(box, plan, operation, () => {}, never())
    return 'finished'
  }
  await undo(box, plan, operation)
  return 'undone'
}

/** The lock that an operation holds while it is carried out. */
export function lockOf(operation: Operation): string {
  if (operation.kind === 'merge') return operation.layer
  if (operation.kind === 'compress') return operation.memory
  return 'vm' in operation ? operation.vm : `image ${operation.name}`
}

/** When it can't be told now, the operation stays open: it is finished or undone later. */
async function recoveryOf<O extends Operation>(box: Box, plan: Plan<O>, operation: O): Promise<Recovery> {
  return typeof plan.recovery === 'string' ? plan.recovery : plan.recovery(box, operation)
}

async function finish<O extends Operation>(
  box: Box,
  plan: Plan<O>,
  operation: O,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const check = () => {
    if (plan.recovery === 'undo' && signal.aborted) throw new CroftError('cancelled', 'It is not wanted any more.')
  }
  for (const step of plan.steps) {
    check()
    fault(`${operation.kind}.${step.name}`)
    await timed(box, `${operation.kind}.${step.name}`, () => step.run(box, operation, report, signal))
  }
  check()
  fault(`${operation.kind}.end`)
  await box.store.update((state) => close(plan.end(state, operation), operation))
}

async function undo<O extends Operation>(box: Box, plan: Plan<O>, operation: O): Promise<void> {
  const failures: unknown[] = []
  for (const step of plan.steps.toReversed()) {
    await step.undo?.(box, operation).catch((error) => failures.push(error))
  }
  if (failures.length) throw failures[0]
  const undone = plan.undone
  await box.store.update((state) => close(undone ? undone(state, operation) : state, operation))
}

function close(state: State, operation: Operation): State {
  return { ...state, operations: without(state.operations, operation.id) }
}

/** A signal that is never aborted. */
const never = (): AbortSignal => new AbortController().signal
