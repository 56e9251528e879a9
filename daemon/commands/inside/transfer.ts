import { randomBytes } from 'node:crypto'
import { join, posix } from 'node:path'
import { z } from 'zod'
import { runInVm, sshArgs } from '../../adapters/guest/ssh.ts'
import { type Box, imageOf } from '../../core/box.ts'
import { inVm } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { plainLine } from '../../lib/text/plain-text.ts'
import type { Vm } from '../../store/index.ts'
import type { Context } from '../kit/command.ts'

/** Shared by `push` and `pull`, which copy files between the box and a VM. */

export const pathArg = z
  .string()
  .min(1)
  .max(4096)
  .regex(/^[^\0]*$/, "a path can't contain NUL")

export const userArg = z
  .string()
  .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'a user name can have a-z, 0-9, "_" and "-"')
  .optional()
  .describe('The user in the VM (default: the login user)')
  .meta({ placeholder: 'user' })

/** The job of cli/transfer.ts. */
export interface Transfer {
  way: 'push' | 'pull'
  /** Arguments with which ssh enters the VM. */
  ssh: readonly string[]
  vm: string
  /** Absolute path on this machine: the source of a push, or the target of a pull. */
  here: string
  /** Path in the VM: the empty folder that a push writes to, or the source of a pull. */
  there: string
  /** Kind of the source of a pull; for a push, cli/transfer.ts finds out itself. */
  kind?: 'folder' | 'file'
}

/** The two ends of a transfer: the caller's files, and the VM, which is awake. */
interface Ends {
  vm: Vm
  /** Makes a path of the caller's absolute. */
  here(path: string): string
  /** Runs an sh script in the VM. */
  inside(script: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
  /** Transfers the files, on the caller's side. @throws CroftError `program-failed`, after the caller was told why */
  transfer(what: Pick<Transfer, 'way' | 'here' | 'there' | 'kind'>): Promise<void>
}

/** Runs `work` with both ends of a transfer. @throws CroftError `misuse` where the caller's files can't be reached */
export async function betweenEnds<T>(
  { box, host, report, handOff, cwd, root, reached }: Context,
  name: string,
  as: string | undefined,
  why: string,
  work: (ends: Ends) => Promise<T>,
): Promise<T> {
  if (reached !== undefined) throw notFromHere(box, name, reached)
  if (!handOff || cwd === undefined)
    throw new CroftError('misuse', 'Files can only be copied on the box itself.', {
      hint: `Send it through a command: croft exec ${name} tar -x < site.tar`,
    })
  return inVm(box, name, why, report, (vm) => {
    const user = as ?? imageOf(box.store.state, vm).user
    const ssh = [...sshArgs(host.folder, vm, user, { ownKey: !root }), '-T', '--']
    return work({
      vm,
      here: (path) => (path.endsWith('/') && path !== '/' ? `${posix.resolve(cwd, path)}/` : posix.resolve(cwd, path)),
      inside: (script, ...args) => runInVm(box, host, vm, ['sh', '-c', script, 'croft', ...args], undefined, { user }),
      async transfer(what) {
        const program = [
          join(import.meta.dirname, '../../cli/transfer.ts'),
          JSON.stringify({ ...what, ssh, vm: vm.name }),
        ]
        const code = await handOff(process.execPath, program, { vm: vm.name, words: [] })
        if (code !== 0) throw new CroftError('program-failed', 'Nothing was copied.')
      },
    })
  })
}

/** The error for a caller that came by SSH, who has scp instead. */
const notFromHere = ({ ssh }: Box, vm: string, reached: string): CroftError =>
  new CroftError('misuse', "Your files can't be reached from here.", {
    hint: ssh
      ? `Run scp where they are; it copies both ways: scp -P ${ssh.port} -r site ${vm}@${ssh.host(reached)}:`
      : undefined,
  })

/** Returns a new name for a temporary folder. */
export const temporaryName = (): string => `.croft-${randomBytes(6).toString('hex')}`

/** Returns the last line that the guest wrote about a failure. */
export const said = ({ stderr }: { stderr: string }): string => plainLine(stderr.trim().split('\n').at(-1) ?? '')
