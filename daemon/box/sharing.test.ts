import { expect, test } from 'vitest'
import type { CroftError } from '../error.ts'
import { noRates } from '../store/index.ts'
import type { BoxSettings } from './box.ts'
import { checkRates, cpuShares } from './sharing.ts'

test('a VM with a normal priority has of CPUs what a domain has by itself, with cgroups of either version', () => {
  expect([25, 100, 400].map((weight) => cpuShares(weight, 1))).toEqual([256, 1024, 4096])
  expect([25, 100, 400].map((weight) => cpuShares(weight, 2))).toEqual([25, 100, 400])
})

test('a limit of CPU time is refused where there are no cgroups, and no other one is', () => {
  const check = (cpuCgroups: 0 | 1 | 2, rates: object) => () =>
    checkRates({ settings: { cpuCgroups } as BoxSettings }, rates)
  expect(check(0, { cpuPercent: 50 })).toThrow(expect.objectContaining({ code: 'unavailable' }) as CroftError)
  for (const each of [check(2, { cpuPercent: 50 }), check(0, { diskBytesPerS: 1e6 }), check(0, noRates)])
    expect(each).not.toThrow()
})
