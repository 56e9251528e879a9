import { isResting, isUp } from '../../daemon/core/vm/state.ts'
import type { VmView } from './box.ts'
import type { UserAction } from './run.ts'

export interface TitledAction {
  title: string
  action: UserAction
  kind?: 'main' | 'danger'
}

/** Returns the actions that make sense for a VM in its state, the most common first. Pure. */
export function actionsOf({ name, state }: Pick<VmView, 'name' | 'state'>): TitledAction[] {
  const on = (title: string, command: string, done: string, kind?: TitledAction['kind']): TitledAction => ({
    title,
    action: { command, args: { vm: name }, verb: title, done: `${name} ${done}` },
    ...(kind && { kind }),
  })
  const off = state === 'stopped' || state === 'crashed'
  return [
    ...(off ? [on('Start', 'start', 'is awake', 'main')] : []),
    ...(isResting(state) ? [on('Wake', 'wake', 'is awake', 'main')] : []),
    ...(isUp(state) ? [on('Sleep', 'sleep', 'is asleep')] : []),
    on('Checkpoint', 'checkpoint', 'has a new checkpoint'),
    { title: 'Copy', action: { command: 'cp', args: { vm: name }, done: `${name} is copied` } },
    ...(off ? [] : [on('Restart', 'restart', 'has restarted'), on('Stop', 'stop', 'is stopped')]),
    on('Delete', 'rm', 'is deleted', 'danger'),
  ]
}
