import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'

const addon = createRequire(import.meta.url).resolve('ssh2/lib/protocol/crypto/build/Release/sshcrypto.node')

/** Creates ciphers that nothing refers to, so that small allocations trigger their collection. */
const script = `
const { ChaChaPolyCipher } = require(${JSON.stringify(addon)})
let kept = []
for (let i = 0; i < 20_000; i++) {
  new ChaChaPolyCipher(Buffer.alloc(64))
  kept.push([i, 'text ' + i, { i }])
  if (kept.length > 500) kept = []
}
`

// See packaging/object-wrap.h.
test('ciphers of closed connections are garbage-collected without crashing the process', () => {
  const { signal, status, stderr } = spawnSync(process.execPath, ['--max-semi-space-size=1', '-e', script], {
    encoding: 'utf8',
  })
  expect({ signal, status, stderr }).toEqual({ signal: null, status: 0, stderr: '' })
})
