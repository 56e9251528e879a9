import { randomBytes } from 'node:crypto'
import { join, posix } from 'node:path'
import { z } from 'zod'
import { runInVm, sshArgs } from '../../adapters/guest/ssh.ts'
import { type Box, imageOf } from '../../core/box.ts'
import { inVm } from '../../core/sleep/wake.ts'
import { CroftError } from '../../lib/error.ts'
import { plainLine } from '../../lib/plain-text.ts'
import type { Vm } from '../../store/index.ts'
import type { Context } from '../kit/command.ts'

/** What `push` and `pull` have in common: files on the box go into a VM and out of it. */

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

/** What cli/transfer.ts is to do. */
export interface Transfer {
  way: 'push' | 'pull'
  /** Arguments of ssh by which the VM is entered. */
  ssh: readonly string[]
  vm: string
  /** Here, absolute: what is sent, or where what comes is put. */
  here: string
  /** In the VM: the empty folder that takes what is sent, or what is wanted. */
  there: string
  /** What is wanted; what is sent, this end sees itself. */
  kind?: 'folder' | 'file'
}

/** Somebody's files, and the VM, which is awake. */
interface Ends {
  vm: Vm
  /** A path of the caller's, absolute. */
  here(path: string): string
  /** Runs a script of sh in the VM. */
  inside(script: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>
  /** Has the files go over, where the caller is. @throws CroftError `program-failed`, when the caller has been told why */
  transfer(what: Pick<Transfer, 'way' | 'here' | 'there' | 'kind'>): Promise<void>
}

/** @throws CroftError `misuse` where there are no files of the caller's */
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

/** A caller that came by SSH has scp. */
const notFromHere = ({ ssh }: Box, vm: string, reached: string): CroftError =>
  new CroftError('misuse', "Your files can't be reached from here.", {
    hint: ssh
      ? `Run scp where they are; it copies both ways: scp -P ${ssh.port} -r site ${vm}@${ssh.host(reached)}:`
      : undefined,
  })

/** A new name for a folder that is there only for a while. */
export const temporaryName = (): string => `.croft-${randomBytes(6).toString('hex')}`

/** What a guest said of a failure, as one line. */
export const said = ({ stderr }: { stderr: string }): string => plainLine(stderr.trim().split('\n').at(-1) ?? '')
