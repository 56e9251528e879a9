import { croft, type Note } from '../../activity/index.ts'
import type { Vm } from '../../store/index.ts'

/** Makes an entry for the activity log about something that Croft itself does to a VM, or sees happen to it. Pure. */
export const systemEntry = ({ id, name }: Pick<Vm, 'id' | 'name'>, what: string, more: Partial<Note> = {}): Note => ({
  ...croft,
  what,
  vms: [{ id, name }],
  ...more,
})
