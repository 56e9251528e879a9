import { expect, test } from 'vitest'
import { z } from 'zod'
import { boxUser } from '../../core/access/principal.ts'
import { CroftError } from '../../lib/error.ts'
import type { TerminalSize } from '../../lib/text/terminal-size.ts'
import { type Command, command } from './command.ts'
import { type AppContext, type Caller, serveLine } from './serve.ts'

/** A command that refreshes until the caller quits, and counts its runs. */
function counting(): { command: Command; under: () => number } {
  const count = { runs: 0, under: 0 }
  return {
    under: () => count.under,
    command: command({
      name: 'count',
      summary: 'Count',
      examples: [],
      args: z.object({ fail: z.int().optional() }),
      result: z.object({ runs: z.int() }),
      touches: 'nothing',
      async run(_, { fail }) {
        count.under += 1
        await Promise.resolve()
        count.runs += 1
        if (count.runs === fail) throw new CroftError('unavailable', 'Nothing can be counted.')
        count.under -= 1
        return { runs: count.runs }
      },
      refreshMs: () => 1500,
      print: ({ runs }, { columns, rows }) => `${runs} in ${columns}x${rows}\n`,
      names: ({ runs }) => [`n${runs}`],
    }),
  }
}

/** Runs a line for a caller that takes one frame for each of these terminal sizes and then disconnects. */
async function watched(line: string[], sizes: TerminalSize[], rows?: number) {
  const { command, under } = counting()
  const app = { commands: [command], box: { store: { state: {} } } } as unknown as AppContext
  const said: Record<'shown' | 'out' | 'err', string[]> = { shown: [], out: [], err: [] }
  const caller = {
    output: {
      out: async (text) => void said.out.push(String(text)),
      err: async (text) => void said.err.push(String(text)),
    },
    terminal: { columns: 80, rows, color: false },
    progress() {},
    actor: { by: boxUser('', null), from: null },
    async show(picture, ms) {
      expect([ms, under()]).toEqual([1500, 0])
      said.shown.push(picture)
      const size = sizes.shift()
      if (size) return size
      throw new CroftError('cancelled', 'The caller has gone.')
    },
  } as Partial<Caller> as Caller
  return { exit: await serveLine(app, ['count', ...line], caller), ...said }
}

test('a refreshing command runs again for each requested frame, at the current terminal size', async () => {
  const { exit, shown, out } = await watched(
    [],
    [
      { columns: 80, rows: 24 },
      { columns: 40, rows: 15 },
    ],
    24,
  )
  expect(shown).toEqual(['1 in 80x24\n', '2 in 80x24\n', '3 in 40x15\n'])
  expect({ exit, out }).toEqual({ exit: 1, out: [] })
})

test('it runs once where frames can’t be shown, and for a program', async () => {
  const once = { exit: 0, shown: [], err: [] }
  expect(await watched([], [])).toEqual({ ...once, out: ['1 in 80xundefined\n'] })
  expect(await watched(['--json'], [], 24)).toEqual({ ...once, out: ['{\n  "runs": 1\n}\n'] })
  expect(await watched(['-q'], [], 24)).toEqual({ ...once, out: ['n1\n'] })
})

test('it ends with the error of a failed run', async () => {
  const size = { columns: 80, rows: 24 }
  expect(await watched(['--fail', '3'], [size, size, size], 24)).toEqual({
    exit: 5,
    shown: ['1 in 80x24\n', '2 in 80x24\n'],
    out: [],
    err: ['Nothing can be counted.\n'],
  })
})
