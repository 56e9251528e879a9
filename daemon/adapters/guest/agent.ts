import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import type { ProgramResult } from '../../core/interfaces/guests.ts'
import { CroftError } from '../../lib/error.ts'

/** Sends a command to the guest agent of a domain and returns its `return` value. */
export type AgentCall = (uuid: string, command: object, timeoutS?: number) => Promise<unknown>

const started = z.object({ pid: z.int() })
const status = z.object({
  exited: z.boolean(),
  exitcode: z.int().optional(),
  signal: z.int().optional(),
  'out-data': z.string().optional(),
  'err-data': z.string().optional(),
})

/**
 * Runs a shell script as root in the guest, which reads it from standard input: one `guest-exec`, then
 * `guest-exec-status` until it ends. The guest is not trusted: its answers are validated, and are only data. Protocol:
 * https://qemu.readthedocs.io/en/latest/interop/qemu-ga-ref.html
 * @throws CroftError `guest-failed` when the agent does not answer or answers nonsense, `timed-out`
 */
export async function runScript(
  call: AgentCall,
  uuid: string,
  script: string,
  timeoutMs = 60_000,
): Promise<ProgramResult> {
  const began = performance.now()
  const { pid } = parse(
    started,
    await call(uuid, {
      execute: 'guest-exec',
      arguments: {
        path: '/bin/sh',
        arg: ['-s'],
        'input-data': Buffer.from(script).toString('base64'),
        'capture-output': true,
      },
    }),
  )
  // The agent has no event for the end of a program. So poll, first often, then less so: each call costs the guest CPU.
  for (;;) {
    await delay(Math.min(Math.max((performance.now() - began) / 16, 10), 250))
    const result = parse(status, await call(uuid, { execute: 'guest-exec-status', arguments: { pid } }))
    if (result.exited) {
      return {
        code: result.exitcode ?? 128 + (result.signal ?? 0),
        stdout: decode(result['out-data']),
        stderr: decode(result['err-data']),
      }
    }
    if (performance.now() - began > timeoutMs)
      throw new CroftError('timed-out', `A script in the guest took longer than ${timeoutMs / 1000} s.`)
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new CroftError('guest-failed', 'The guest agent’s answer makes no sense.', {
    cause: result.error,
  })
}

const decode = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString('utf8')
