import { chown, mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { SshConfig } from '../config.ts'
import { groupId, userId } from '../lib/process/accounts.ts'
import { runProgram } from '../lib/process/run.ts'
import { gatewayKeys } from './gateway-process.ts'

/** Makes a key of Croft's own unless there is one. @returns its public line, and whether it is new */
export async function makeKey(path: string, comment: string): Promise<{ line: string; made: boolean }> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const made = !(await stat(`${path}.pub`).catch(() => undefined))
  if (made) {
    await rm(path, { force: true }) // an earlier run was cut off between the two files
    await runProgram('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path])
  }
  return { line: (await readFile(`${path}.pub`, 'utf8')).trim(), made }
}

/**
 * Makes the gateway's host key, and the key with which it enters every VM, unless there are some.
 * @returns the latter's public line, and whether it is new
 */
export async function makeGatewayKeys(folder: string, { user }: SshConfig): Promise<{ line: string; made: boolean }> {
  const paths = gatewayKeys(folder)
  await makeKey(paths.host, 'croft-ssh')
  const own = await makeKey(paths.own, 'croft-ssh')
  const [uid, gid] = [(await userId(user)) ?? 0, await groupId(user)]
  const mine = dirname(paths.own)
  for (const each of [mine, ...(await readdir(mine)).map((name) => join(mine, name))]) await chown(each, uid, gid)
  return own
}
