import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Croft } from '../lib/croft.ts'
import { type Laptop, type Reached, startReached } from '../lib/gateway.ts'

/** The SSH gateway, with OpenSSH's own client: the lobby, and the way into a VM. */
let reached: Reached
let croft: Croft
let laptop: Laptop

beforeAll(async () => {
  reached = await startReached()
  croft = reached.croft
  laptop = reached.laptop
  await croft.do('new', 'web')
})

afterAll(() => reached?.[Symbol.asyncDispose]())

describe('the lobby', () => {
  test('runs a command as the command line does: output, errors and exit codes', async () => {
    for (const line of [
      ['ls', '-q'],
      ['show', 'web', '--json'],
      ['show', 'wbe'],
      ['nonsense'],
      ['rm', 'web'],
      ['help'],
    ]) {
      const [here, there] = await Promise.all([croft.run(line), laptop.ssh(['croft@box', ...line])])
      expect(there.stdout).toBe(here.stdout)
      expect(there.code).toBe(here.code)
      expect(there.stderr.replace(/^Warning: Permanently added.*\r?\n/, '')).toBe(here.stderr)
    }
  })
})

describe('a VM', () => {
  test('runs a command with its input, both outputs and its exit code', async () => {
    const input = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i % 251))
    const ended = await laptop.ssh(['web@box', 'sha256sum; echo complaint >&2; exit 7'], { input })
    const digest = createHash('sha256').update(input).digest('hex')
    expect(ended).toEqual({ code: 7, stdout: `${digest}  -\n`, stderr: 'complaint\n' })
  })
})
