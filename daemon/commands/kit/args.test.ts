import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { rateArgs, ratesFrom } from './args.ts'

const args = z.object(rateArgs)
const read = (given: object) => ratesFrom(args.parse(given))

describe('limits as people write them', () => {
  test.each([
    ['150%', { cpuPercent: 150 }],
    ['50', { cpuPercent: 50 }],
    ['none', { cpuPercent: null }],
  ])('for CPU time: %s', (cpuLimit, rates) => expect(read({ cpuLimit })).toEqual(rates))

  test.each([
    ['50M', 50_000_000],
    ['1.5g', 1_500_000_000],
    ['none', null],
  ])('for disk and network, in powers of 1000: %s', (rate, value) => {
    expect(read({ diskLimit: rate, netLimit: rate })).toEqual({ diskBytesPerS: value, netBitsPerS: value })
  })

  test('a limit that is not given stays unchanged', () => expect(read({})).toEqual({}))

  test.each([
    { cpuLimit: '0%' },
    { cpuLimit: '1.5' },
    { cpuLimit: '-1' },
    { diskLimit: '999k' },
    { diskLimit: '50' },
    { diskLimit: '50MB' },
    { netLimit: '99k' },
    { netLimit: '9999999G' },
    { netLimit: '' },
  ])('refused: %o', (given) => expect(args.safeParse(given).success).toBe(false))
})
