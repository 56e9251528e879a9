import { expect, test } from 'vitest'
import type { Checkpoint, Memory, State, Vm } from '../store/index.ts'
import { emptyState } from '../store/schema/state.ts'
import { qemuCheck } from './check-qemu.ts'

const memory = (id: string, qemu: string) => ({ id, hardware: { qemu } }) as Memory
const state: State = {
  ...emptyState('a'),
  memories: { mem_a: memory('mem_a', '10.0.2'), mem_b: memory('mem_b', '7.2.22'), mem_c: memory('mem_c', '10.0.2') },
  vms: { vm_a: { id: 'vm_a', name: 'web', phase: 'ready', memory: 'mem_a' } as Vm },
  checkpoints: {
    chk_b: { id: 'chk_b', kind: 'asked', vm: 'vm_a', label: 'c1', memory: 'mem_b' } as Checkpoint,
    chk_c: { id: 'chk_c', kind: 'golden', vm: null, label: 'debian', memory: 'mem_c' } as Checkpoint,
  },
}

test('an upgrade to a newer QEMU costs nothing', () => {
  expect(qemuCheck('1:10.0.2+ds-2', '1:10.0.2+ds-2', state)).toMatchObject({ state: 'fine' })
  expect(qemuCheck('1:10.0.2+ds-2', '1:10.1.0+ds-1', state)).toMatchObject({
    state: 'fine',
    says: expect.stringMatching(/^the step from 10.0 to 10.1 costs no saved memory/),
  })
})

test('a step back names what it would cost, and not a golden checkpoint, which is made anew', () => {
  expect(qemuCheck('1:10.0.2+ds-2', '1:7.2+dfsg-7+deb12u18', state)).toMatchObject({
    state: 'look',
    says: 'the step from 10.0 to 7.2 would cost the memory of web',
  })
  expect(qemuCheck('1:10.0.2+ds-2', '1:6.2+dfsg-1', state).says).toBe(
    'the step from 10.0 to 6.2 would cost the memory of web, c1 of web',
  )
})
