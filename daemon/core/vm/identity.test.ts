import { describe, expect, test } from 'vitest'
import { boxAddress, makeId, makeIdentity, netmask, nextAddress, parseSubnet } from './identity.ts'

describe('subnets', () => {
  test('have an address for the box and a mask', () => {
    const subnet = parseSubnet('10.77.0.0/16')
    expect(boxAddress(subnet)).toBe('10.77.0.1')
    expect(netmask(subnet)).toBe('255.255.0.0')
    expect(netmask(parseSubnet('192.168.7.64/26'))).toBe('255.255.255.192')
  })
  test.each(['', '10.77.0.0', '10.77.0.1/16', '10.77.0.0/31', '10.77.0.0/7', '300.0.0.0/8', '10.0.0.0/8; drop'])(
    '%j is none',
    (text) => {
      expect(() => parseSubnet(text)).toThrow(expect.objectContaining({ code: 'bad-value' }))
    },
  )
})

describe('a new identity', () => {
  const subnet = parseSubnet('10.0.0.0/29') // 5 addresses for VMs
  const made: { ip: string; mac: string }[] = []
  let from = 0
  const make = (taken: typeof made) => {
    const identity = makeIdentity(taken, subnet, from)
    from = nextAddress(identity.ip, subnet)
    return identity
  }
  test('takes each address once, and says when none is left', () => {
    for (let i = 0; i < 5; i++) made.push(make(made))
    expect(made.map((vm) => vm.ip)).toEqual(['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'])
    expect(() => make(made)).toThrow(expect.objectContaining({ code: 'conflict' }))
  })
  test('lets an address rest before it is used again', () => {
    from = 0
    const first = make([])
    expect(first.ip).toBe('10.0.0.2')
    expect(make([]).ip).toBe('10.0.0.3')
    expect(make([]).ip).toBe('10.0.0.4')
    expect([make([]), make([]), make([])].map((vm) => vm.ip)).toEqual(['10.0.0.5', '10.0.0.6', '10.0.0.2'])
  })
  test('has a MAC of the prefix for virtual machines and a machine-id', () => {
    expect(makeIdentity([], subnet, 0)).toMatchObject({
      mac: expect.stringMatching(/^52:54:00(:[0-9a-f]{2}){3}$/),
      machineId: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
  })
})

test('ids are a prefix and ten letters of base32', () => {
  expect(makeId('vm')).toMatch(/^vm_[a-z2-7]{10}$/)
})
