import { access, constants } from 'node:fs/promises'
import { CroftError } from '../../lib/error.ts'
import { runProgram } from '../../lib/process/run.ts'
import type { Accelerator } from '../../store/index.ts'
import type { Machine } from './machine.ts'

const probeTimeoutMs = 20_000

/**
 * Tries whether guests run under KVM on this box: boots the image's own kernel without a root file system, until it
 * panics for lack of one. That /dev/kvm exists and answers proves nothing: under nested virtualization, kernels may
 * still hang.
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
      'there is no usable /dev/kvm: virtualization is turned off in the CPU or the firmware, or this box is a VM itself',
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
      return found('tcg', `/dev/kvm exists, but the test guest ${why}`)
    }
  }
  // The kernel ran until it missed its root file system: everything that it needs of KVM works.
  return shown.some((line) => line.includes('Kernel panic'))
    ? found('kvm', 'the test guest runs')
    : found('tcg', '/dev/kvm exists, but the test guest ended early')
}
