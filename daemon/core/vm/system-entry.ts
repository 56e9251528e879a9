import { croft, type Note } from '../../activity/index.ts'
import type { Vm } from '../../store/index.ts'

/** What Croft does to a VM by itself, or sees happen to it, for the activity log. Pure. */
export const systemEntry = ({ id, name }: Pick<Vm, 'id' | 'name'>, what: string, more: Partial<Note> = {}): Note => ({
  ...croft,
  what,
  vms: [{ id, name }],
  ...more,
})
