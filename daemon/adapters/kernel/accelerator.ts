import { access, constants } from 'node:fs/promises'
import { CroftError } from '../../lib/error.ts'
import { runProgram } from '../../lib/run.ts'
import type { Accelerator } from '../../store/index.ts'
import type { Machine } from './machine.ts'

const probeTimeoutMs = 20_000

/**
 * Finds out by trying whether guests run under KVM here: boots the image's own kernel, without a root, until it says so
 * itself. That /dev/kvm exists and answers proves nothing: under nested virtualization kernels may hang all the same.
 */
export async function probeAccelerator({ emulator, machine }: Machine, kernel: string): Promise<Accelerator> {
  const found = (kind: Accelerator['kind'], why: string) => ({ kind, why, checkedAt: new Date().toISOString() })
  const usable = await access('/dev/kvm', constants.R_OK | constants.W_OK).then(
    () => true,
    () => false,
  )
  if (!usable)
    return found(
      'tcg',
      'there is no /dev/kvm: the CPU or the firmware has virtualization turned off, or this is a VM itself',
    )
  const abort = new AbortController()
  const shown: string[] = []
  const args = [
    '-machine',
    `${machine},accel=kvm`,
    '-cpu',
    'host',
    '-m',
    '256',
    '-nodefaults',
    '-no-user-config',
    '-display',
    'none',
  ]
  const boot = ['-no-reboot', '-serial', 'stdio', '-kernel', kernel, '-append', 'console=ttyS0 panic=-1']
  try {
    await runProgram(emulator, [...args, ...boot], {
      timeoutMs: probeTimeoutMs,
      signal: abort.signal,
      onLine(line) {
        shown.push(line)
        if (/Kernel panic - not syncing: VFS/.test(line)) abort.abort()
      },
    })
  } catch (error) {
    if (!abort.signal.aborted) {
      const why =
        error instanceof CroftError && error.code === 'timed-out' ? `hung after ${shown.length} lines` : 'did not start'
      return found('tcg', `/dev/kvm exists, but a guest tried in it ${why}`)
    }
  }
  // The kernel ran to the point where it misses its root: everything that it needs of KVM works.
  return shown.some((line) => line.includes('Kernel panic'))
    ? found('kvm', 'a guest tried in it runs')
    : found('tcg', '/dev/kvm exists, but a guest tried in it ended early')
}
