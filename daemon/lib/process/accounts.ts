import { runProgram } from './run.ts'

/** The user that Croft's own Caddy runs as, made by install.sh. */
export const caddyUser = 'croft-caddy'
/** The user that the SSH gateway runs as, made by install.sh. */
export const gatewayUser = 'croft-ssh'

/** Looks up the id of a user of this box; undefined when there is no such user. */
export const userId = (name: string): Promise<number | undefined> => idOf('passwd', name)

/** Looks up the id of a group that may use a socket; root's when there is no such group. */
export const groupId = async (name: string): Promise<number> => (await idOf('group', name)) ?? 0

const names = new Map<number, Promise<string>>()

/** Looks up the name of a user of this box; empty when there is none with that id. */
export function userName(uid: number): Promise<string> {
  const known =
    names.get(uid) ??
    runProgram('getent', ['passwd', `${uid}`], { okCodes: [0, 2] }).then(
      ({ stdout }) => stdout.split(':')[0]!,
      () => '',
    )
  names.set(uid, known)
  return known
}

async function idOf(database: 'passwd' | 'group', name: string): Promise<number | undefined> {
  const { code, stdout } = await runProgram('getent', [database, name], { okCodes: [0, 2] })
  return code === 0 ? Number(stdout.split(':')[2]) : undefined
}
