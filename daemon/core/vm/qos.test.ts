import { pino } from 'pino'
import { expect, test } from 'vitest'
import { Locks } from '../../lib/async/locks.ts'
import { CroftError } from '../../lib/error.ts'
import { noRates, type State, type Vm } from '../../store/index.ts'
import { emptyState } from '../../store/schema/state.ts'
import type { Box, BoxSettings } from '../box.ts'
import { applyShares, checkRates, cpuShares, initialShares, shareVm, unsupported } from './qos.ts'

test('normal priority means a domain’s default CPU shares, with cgroups of either version', () => {
  expect([25, 100, 400].map((weight) => cpuShares(weight, 1))).toEqual([256, 1024, 4096])
  expect([25, 100, 400].map((weight) => cpuShares(weight, 2))).toEqual([25, 100, 400])
})

test('without cgroups only a limit of CPU time is refused', () => {
  const check = (cpuCgroups: 0 | 1 | 2, rates: object) => () =>
    checkRates({ settings: { cpuCgroups } as BoxSettings }, rates)
  expect(check(0, { cpuPercent: 50 })).toThrow(expect.objectContaining({ code: 'unavailable' }) as CroftError)
  for (const each of [check(2, { cpuPercent: 50 }), check(0, { diskBytesPerS: 1e6 }), check(0, noRates)])
    expect(each).not.toThrow()
})

/** A box with a running VM, whose libvirt refuses some requests. `told`: the requests it got about the VM. */
function boxThatRefuses(...refused: string[]) {
  const vm = { id: 'vm_a', uuid: 'u', name: 'web', phase: 'ready', memory: null, ...initialShares } as unknown as Vm
  const store = {
    state: { ...emptyState('test'), vms: { vm_a: vm } } as State,
    async update(change: (state: State) => State) {
      store.state = change(store.state)
    },
  }
  const told: unknown[] = []
  const call = (name: string) => async (_: string, value: unknown) => {
    if (refused.includes(name)) throw new CroftError('conflict', 'libvirt: cgroup CPU controller is not mounted')
    told.push([name, value])
  }
  const calls = ['setCpuShares', 'setCpuLimit', 'setDiskWeight', 'setDiskLimit']
  const box = {
    store,
    settings: { cpuCgroups: 1 },
    hypervisor: Object.fromEntries(calls.map((name) => [name, call(name)])),
    network: { add: async ({ rates }: Vm) => void told.push(['net', rates.netBitsPerS]) },
    live: { get: () => ({ domain: 'running', ready: true }) },
    locks: new Locks(),
    events: { publish() {} },
    governor: { weightOf: () => 1 },
    log: pino({ level: 'silent' }),
  } as unknown as Box
  return { box, vm, told }
}

test('a limit that libvirt refuses is not kept, and neither is what was changed with it', async () => {
  const { box, told } = boxThatRefuses('setCpuLimit')
  const rates = { cpuPercent: 50, diskBytesPerS: 1e6, netBitsPerS: 1e6 }
  await expect(shareVm(box, 'web', { priority: 'low', rates })).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('no cgroups'),
  })
  expect(box.store.state.vms.vm_a).toMatchObject({ priority: 'normal', rates: noRates })
  const last = Object.fromEntries(told as [string, unknown][])
  expect(last).toEqual({ setCpuShares: 1024, setDiskWeight: 100, setDiskLimit: null, net: null })
})

test('a priority is kept where it can’t be applied', async () => {
  const { box } = boxThatRefuses('setCpuShares', 'setDiskWeight')
  await shareVm(box, 'web', { priority: 'high', rates: { diskBytesPerS: 1e6 } })
  expect(box.store.state.vms.vm_a).toMatchObject({ priority: 'high', rates: { ...noRates, diskBytesPerS: 1e6 } })
})

test('a new QEMU is told only what differs from its defaults; one that already ran, everything', async () => {
  const { box, vm, told } = boxThatRefuses()
  await applyShares(box, vm, initialShares)
  expect(told).toEqual([])
  await applyShares(box, vm, undefined)
  expect(told).toEqual([
    ['setCpuShares', 1024],
    ['setDiskWeight', 100],
    ['setCpuLimit', null],
    ['setDiskLimit', null],
  ])
})

test('a part that could not be applied is remembered until it can be', async () => {
  const limited = { ...initialShares, rates: { ...noRates, cpuPercent: 50 } }
  const { box, vm } = boxThatRefuses('setCpuLimit')
  await applyShares(box, { ...vm, ...limited }, initialShares)
  expect(unsupported(box).get('cpuPercent')).toMatchObject({ vm: 'web', why: expect.stringContaining('not mounted') })
  box.hypervisor.setCpuLimit = async () => {}
  await applyShares(box, { ...vm, ...limited }, initialShares)
  expect(unsupported(box).size).toBe(0)
})

test('a limit can be removed where none can be set', async () => {
  const { box, vm } = boxThatRefuses('setCpuLimit')
  await applyShares(box, vm, undefined)
  await shareVm(box, 'web', { rates: { cpuPercent: null } })
  expect(unsupported(box).size).toBe(0)
})
