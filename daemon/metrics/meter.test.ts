import { expect, test } from 'vitest'
import type { Box } from '../core/box.ts'
import { Live } from '../core/live.ts'
import type { State } from '../store/index.ts'
import { emptyState } from '../store/schema/state.ts'
import { Meter } from './meter.ts'

test('the disk of a VM that does not run is measured once, and nothing is kept about a deleted one', async () => {
  const vm = { id: 'v1', uuid: 'u1', name: 'web', phase: 'ready', disk: 'd1', image: 'i1', memory: null }
  const layers = { d1: { id: 'd1', parent: null, file: 'layers/d1' } }
  const withVms = (vms: object) => ({ ...emptyState('test'), layers, vms }) as unknown as State
  const store = { state: withVms({ v1: vm }) }
  const asked: string[] = []
  const usage = async (file: string) => asked.push(file) && 10
  const meter = new Meter({ store, live: new Live(), files: { usage } } as unknown as Box, '/')
  for (let i = 0; i < 2; i++) expect((await meter.vms()).get('v1')).toMatchObject({ diskBytes: 20 })
  expect(asked).toEqual(['layers/d1', 'vms/v1'])
  store.state = withVms({})
  await meter.vms()
  store.state = withVms({ v1: vm })
  await meter.vms()
  meter.close()
  expect(asked).toEqual(['layers/d1', 'vms/v1', 'layers/d1', 'vms/v1'])
})
