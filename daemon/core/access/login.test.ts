import { expect, test } from 'vitest'
import { isWithin, plainAddress } from '../../lib/text/addresses.ts'
import { parseLogin, vmOfHost } from './login.ts'

test('the name before the @ is the lobby, a VM, or a user of a VM’s', () => {
  expect(parseLogin('croft')).toEqual({ to: 'lobby' })
  expect(parseLogin('web')).toEqual({ to: 'vm', vm: 'web', user: undefined })
  expect(parseLogin('root+web')).toEqual({ to: 'vm', vm: 'web', user: 'root' })
  for (const none of ['', '+web', 'root+', 'Root+web', 'a b', 'web;rm', '\u001b[31m', '../web', 'x'.repeat(65)])
    expect(parseLogin(none)).toBe(undefined)
})

test('a host name means a VM, with or without the box’s domain', () => {
  expect(vmOfHost('web', 'box.example.com')).toBe('web')
  expect(vmOfHost('Web.box.example.com.', 'box.example.com')).toBe('web')
  expect(vmOfHost('web.elsewhere.com', 'box.example.com')).toBe('web.elsewhere.com')
})

test('IPv4 addresses are the same in any notation', () => {
  expect(plainAddress('::ffff:10.0.0.1')).toBe('10.0.0.1')
  expect(plainAddress('2001:db8::1')).toBe('2001:db8::1')
  expect(isWithin('2001:db8::7', '10.0.0.0/8,2001:db8::/64')).toBe(true)
  expect(isWithin('10.0.0.1', '10.0.0.1')).toBe(true)
  expect(isWithin('10.0.0.2', '10.0.0.1')).toBe(false)
  expect(isWithin('nonsense', '0.0.0.0/0')).toBe(false)
  expect(isWithin('10.0.0.1', 'nonsense')).toBe(false)
  expect(isWithin('10.0.0.1', '10.0.0.0/99')).toBe(false)
})
