import { covers } from '../../core/access/limit.ts'
import type { Scope } from '../../core/access/principal.ts'
import { findVm } from '../../core/box.ts'
import { CroftError } from '../../lib/error.ts'
import type { State, Vm } from '../../store/index.ts'
import type { Command } from './command.ts'
import { parameters } from './line.ts'

/** Whether a scope covers only some of the VMs. */
export const seesSome = ({ vm, tag }: Scope): boolean => vm !== null || tag !== null

/** Whether a scope is limited in any way. */
export const isLimited = (scope: Scope): boolean => seesSome(scope) || scope.commands !== null

export const maySee = (scope: Scope, vm: Pick<Vm, 'id' | 'tags'>): boolean => covers(scope, vm)

/** @param args as checked @throws CroftError `not-allowed` unless the scope covers the command with these arguments */
export function checkScope(scope: Scope, command: Command, args: Record<string, unknown>, state: State): void {
  const { name, touches, listsVms } = command
  if (touches === 'nothing') return
  if (scope.commands !== null && !scope.commands.includes(name)) {
    throw new CroftError('not-allowed', `You may not run ${name}.`, {
      hint: scope.commands.length ? `You may run: ${scope.commands.join(', ')}` : 'You may not run any command.',
    })
  }
  if (wouldWiden(scope, command))
    throw new CroftError('not-allowed', `You may not run ${name}: it could grant more access than you have.`)
  if (!seesSome(scope)) return
  const named = parameters(command).flatMap(({ complete, key }) =>
    complete === 'vm' && args[key] !== undefined ? [args[key]].flat().map(String) : [],
  )
  if (named.length === 0 ? listsVms : named.every((each) => maySeeNamed(scope, each, state))) return
  throw new CroftError('not-allowed', `Your access is limited to ${inWords(scope, state)}.`, {
    hint: 'The owner of the box can give you a key or a token for more.',
  })
}

/** Whether a command could give someone more than a caller with this scope has. */
const wouldWiden = (scope: Scope, { grants }: Command): boolean =>
  (grants === 'access' && isLimited(scope)) || (grants === 'membership' && seesSome(scope))

const inWords = ({ vm, tag }: Scope, state: State): string =>
  vm === null ? `VMs tagged ${JSON.stringify(tag)}` : (state.vms[vm]?.name ?? 'a VM that was deleted')

/** False also for a name that does not exist, so that the answer does not reveal other VMs. */
function maySeeNamed(scope: Scope, name: string, state: State): boolean {
  try {
    return maySee(scope, findVm(state, name))
  } catch {
    return false
  }
}
