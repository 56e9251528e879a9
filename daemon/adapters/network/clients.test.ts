import { expect, test } from 'vitest'
import { parsePeers } from './clients.ts'

test('remote addresses are parsed into the form that a proxy writes', () => {
  const text = `0      0      [::ffff:127.0.0.1]:80    [::ffff:192.0.2.7]:47762
0 0 10.0.0.1:443 192.0.2.8:5555
0 0 [2001:db8::1]:443 [2001:db8::9]:6666

`
  expect(parsePeers(text)).toEqual(new Set(['tcp 192.0.2.7:47762', 'tcp 192.0.2.8:5555', 'tcp [2001:db8::9]:6666']))
})
