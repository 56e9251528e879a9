import { expect, test } from 'vitest'
import { asTyped, croftFrom } from './as-typed.ts'

const ssh = { port: 2222, host: (reached?: string) => reached ?? 'debian' }

test('a command begins with croft on the box, and with the ssh command elsewhere', () => {
  expect(croftFrom({ ssh }, undefined)).toBe('croft')
  expect(croftFrom({ ssh }, '192.0.2.7')).toBe('ssh -p 2222 croft@192.0.2.7')
})

test.each([
  ['Start it: croft start web', 'Start it: X start web'],
  ['croft logs web says why; croft start web starts it.', 'X logs web says why; X start web starts it.'],
  ['The log of the daemon has the details: journalctl -u croft', undefined],
  ['croft@box, croft-ssh and /run/croft stay', undefined],
  ['Its output ends with:\ncroft start web', undefined],
])('a hint names commands as they are typed: %j', (hint, typed) => expect(asTyped(hint, 'X')).toBe(typed ?? hint))
