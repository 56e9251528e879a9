import { findVm } from '../box/box.ts'
import { CroftError } from '../error.ts'
import type { State, Vm } from '../store/index.ts'
import type { Command } from './command.ts'
import { parameters } from './line.ts'

/** What somebody may do: nulls for everything. */
export interface Scope {
  /** Id of the one VM that it is limited to. */
  vm: string | null
  /** Names of the commands that may be run. */
  commands: readonly string[] | null
}

export const everything: Scope = { vm: null, commands: null }

/** Commands that show many VMs, and to who is limited to one, that one. */
const lists = new Set(['ls', 'share ls', 'activity'])

/** Commands that let somebody in: who is limited could rid himself of his limits by them. */
const givers = new Set(['login', 'token new'])

export const maySee = ({ vm }: Scope, { id }: Vm): boolean => vm === null || vm === id

/** @param args as they were checked @throws CroftError `not-allowed` unless the scope covers the command with these arguments */
export function checkScope(scope: Scope, command: Command, args: Record<string, unknown>, state: State): void {
  if (command.touches === 'nothing') return
  if (scope.commands !== null && !scope.commands.includes(command.name)) {
    throw new CroftError('not-allowed', `This token may not run ${command.name}.`, {
      hint: scope.commands.length ? `It may run: ${scope.commands.join(', ')}` : 'It may run no command.',
    })
  }
  if (givers.has(command.name) && (scope.vm !== null || scope.commands !== null))
    throw new CroftError('not-allowed', `A token with limits may not run ${command.name}.`)
  if (scope.vm === null) return
  const named = parameters(command).flatMap(({ complete, key }) =>
    complete === 'vm' && args[key] !== undefined ? [args[key]].flat().map(String) : [],
  )
  if (named.length === 0 ? lists.has(command.name) : named.every((name) => isThe(scope.vm!, name, state))) return
  throw new CroftError('not-allowed', `This token is for ${state.vms[scope.vm]?.name ?? 'another VM'} alone.`, {
    hint: 'croft token new makes one for others.',
  })
}

/** Whether there is another VM by that name is not said. */
function isThe(id: string, name: string, state: State): boolean {
  try {
    return findVm(state, name).id === id
  } catch {
    return false
  }
}
