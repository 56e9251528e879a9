import { access, mkdir, stat, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { z } from 'zod'
import type {
  Backup,
  BackupSecrets,
  BackupStore,
  BackupSubject,
  BackupTarget,
  Saved,
} from '../../core/interfaces/backup-store.ts'
import { CroftError } from '../../lib/error.ts'
import { type RunResult, runProgram } from '../../lib/process/run.ts'
import { newRecoveryKey } from '../../lib/secret.ts'
import { plainLine } from '../../lib/text/plain-text.ts'
import { DurableFile } from '../../store/index.ts'

/** Long enough for the first backup of a large disk over a slow line. */
const longestMs = 7 * 24 * 60 * 60_000

const settingsSchema = z.object({
  repository: z.string(),
  user: z.string().nullable(),
  key: z.string(),
  secret: z.string().nullable(),
  authority: z.string().nullable(),
})

type Settings = BackupTarget & BackupSecrets

/**
 * Keeps backups in a restic repository (restic.net), which encrypts and deduplicates them. Which one, and its secrets,
 * are in `backup/target.json`, which is not in the store: backups of the box must not hold the key that opens them.
 * @param folder the state folder
 * @param makeKey returns the line of the key with which the box enters the host of an `sftp:` target, made if need be
 */
export async function openRestic(folder: string, makeKey: () => Promise<{ line: string }>): Promise<BackupStore> {
  const own = join(folder, 'backup')
  await mkdir(own, { recursive: true, mode: 0o700 })
  const file = new DurableFile<Settings>(join(own, 'target.json'), settingsSchema.parse, async () => false)
  let settings = (await file.read()) ?? undefined

  async function restic(
    args: readonly string[],
    options: {
      with?: Settings
      input?: string
      onLine?: (line: string) => void
      signal: AbortSignal
      okCodes?: number[]
    },
  ): Promise<RunResult> {
    const used = options.with ?? settings
    if (!used) throw noTarget()
    const authorityPath = join(own, 'authority.pem')
    if (used.authority) await writeFile(authorityPath, used.authority, { mode: 0o600 })
    const trust = used.authority ? ['--cacert', authorityPath] : []
    const isSftp = used.repository.startsWith('sftp:')
    const line = isSftp ? (await makeKey()).line : undefined
    const ssh = isSftp ? ['-o', `sftp.command=${sftpCommand(folder, used.repository)}`] : []
    const all = ['--cache-dir', join(own, 'cache'), ...trust, ...ssh, ...args]
    try {
      return await runProgram('setpriv', ['--pdeathsig', 'KILL', 'nice', 'ionice', '-c', '3', 'restic', ...all], {
        cwd: folder,
        env: environmentOf(used),
        timeoutMs: longestMs,
        ...options,
      })
    } catch (error) {
      throw explained(error, used, line)
    }
  }

  /** Runs what locks the repository. Locks of processes that are gone are removed first; a living one is left alone. */
  async function locking(args: readonly string[], options: Parameters<typeof restic>[1]): Promise<RunResult> {
    await restic(['unlock'], { signal: options.signal })
    return restic(args, options)
  }

  async function list(signal: AbortSignal): Promise<Backup[]> {
    const { stdout } = await restic(['snapshots', '--json', '--no-lock'], { signal })
    return z.array(snapshotSchema).parse(JSON.parse(stdout)).flatMap(backupOf)
  }

  return {
    get target() {
      return settings && { repository: settings.repository, user: settings.user }
    },

    async use(target, secrets, key, signal) {
      const before = settings
      const known = before?.repository === target.repository ? before.key : undefined
      const next: Settings = { ...target, ...secrets, key: key ?? known ?? newRecoveryKey() }
      const isThere = await restic(['cat', 'config'], { with: next, signal }).then(
        () => true,
        (error) => {
          if (!(error instanceof CroftError)) throw error
          if (error.details.reason === 'nothing-there') return false
          // A new key does not open what somebody else has begun.
          if (error.details.reason === 'wrong-key' && !key && !known) throw alreadyThere(target)
          throw error
        },
      )
      if (!isThere && key) {
        throw new CroftError('not-found', `There are no backups at ${target.repository}.`, {
          hint: 'To begin there, leave out --key: Croft then makes one.',
          argument: 'target',
        })
      }
      // The key is kept before anything is encrypted with it.
      await file.write(next)
      settings = next
      try {
        if (!isThere) await restic(['init'], { signal })
        const isEmpty = !isThere || (await list(signal)).length === 0
        return { key: isEmpty ? next.key : null, sameDisk: await isOnSameDisk(target.repository, folder) }
      } catch (error) {
        if (before) await file.write(before)
        settings = before
        throw error
      }
    },

    async save(of, instance, paths, like, onProgress, signal) {
      // restic only warns of a path that is not there.
      for (const path of paths) await access(resolve(folder, path))
      const tags = [`instance=${instance}`, ...(of === 'box' ? ['box'] : [`vm=${of.vm}`, `name=${of.name}`])]
      let saved: Saved | undefined
      const onLine = (line: string) => {
        const said = resticLine.safeParse(parseJson(line)).data
        if (said?.message_type === 'status') onProgress(said.percent_done)
        if (said?.message_type === 'summary')
          saved = { id: said.snapshot_id, addedBytes: said.data_added, bytes: said.total_bytes_processed }
      }
      const args = [
        ...['backup', '--json', '--host', 'croft', '--files-from-raw', '-', '--ignore-ctime'],
        ...(like ? ['--parent', like] : []),
        ...tags.flatMap((tag) => ['--tag', tag]),
      ]
      await locking(args, { input: paths.map((path) => `${path}\0`).join(''), onLine, signal })
      if (!saved) throw new CroftError('program-failed', 'restic did not say whether the backup is complete.')
      return saved
    },

    list,

    async read(backup, path, signal) {
      const { stdout } = await restic(['dump', '--no-lock', backup, `/${path}`], { signal })
      return stdout
    },

    async fetch(backup, paths, to, signal) {
      const include = paths.flatMap((path) => ['--include', `/${path}`])
      await restic(['restore', backup, '--no-lock', '--target', join(folder, to), ...include], { signal })
    },

    async forget(backups, signal) {
      if (backups.length) await locking(['forget', ...backups], { signal })
    },

    async prune(signal) {
      await locking(['prune'], { signal })
    },

    async check(percent, signal) {
      const part = percent > 0 ? [`--read-data-subset=${percent}%`] : []
      const { code, stdout, stderr } = await locking(['check', ...part], { signal, okCodes: [0, 1] })
      if (code === 0) return []
      return `${stdout}\n${stderr}`
        .split('\n')
        .filter((line) => /error|fatal|damaged|missing|does not match/i.test(line))
        .map(plainLine)
    },
  }
}

/**
 * The command that reaches an `sftp:` target, which restic splits at spaces. The host is trusted as it is found the first
 * time, and must then stay the same.
 */
function sftpCommand(folder: string, repository: string): string {
  const [, host = '', port] = /^sftp:(?:\/\/)?([^:/]+)(?::(\d+)\/)?/.exec(repository) ?? []
  const settings = {
    IdentityFile: join(folder, 'keys/backup_ed25519'),
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: join(folder, 'backup/known_hosts'),
    StrictHostKeyChecking: 'accept-new',
    BatchMode: 'yes',
    ConnectTimeout: '20',
    ServerAliveInterval: '15',
  }
  const options = Object.entries(settings).map(([key, value]) => `-o ${key}=${value}`)
  return ['ssh', '-F none', ...options, ...(port ? [`-p ${port}`] : []), host, '-s sftp'].join(' ')
}

/** Whether a target is a folder on the same file system as another folder. */
async function isOnSameDisk(repository: string, folder: string): Promise<boolean> {
  if (!repository.startsWith('/')) return false
  const [there, here] = await Promise.all([stat(repository), stat(folder)])
  return there.dev === here.dev
}

/** Everything that restic must know and nobody else may see goes through its environment, not its arguments. */
function environmentOf({ repository, user, secret, key }: Settings): NodeJS.ProcessEnv {
  const isS3 = repository.startsWith('s3:')
  return {
    PATH: process.env.PATH,
    HOME: '/root',
    LC_ALL: 'C',
    RESTIC_PASSWORD: key,
    RESTIC_REPOSITORY: isS3 || !user ? repository : withPassword(repository, user, secret ?? ''),
    ...(isS3 && user && { AWS_ACCESS_KEY_ID: user, AWS_SECRET_ACCESS_KEY: secret ?? '' }),
  }
}

/** `rest:https://host/` with the user and the password. Pure. */
function withPassword(repository: string, user: string, secret: string): string {
  const access = `${encodeURIComponent(user)}:${encodeURIComponent(secret)}@`
  return repository.replace(/^rest:https?:\/\//, (scheme) => `${scheme}${access}`)
}

const resticLine = z.discriminatedUnion('message_type', [
  z.object({ message_type: z.literal('status'), percent_done: z.number() }),
  z.object({
    message_type: z.literal('summary'),
    snapshot_id: z.string(),
    data_added: z.number(),
    total_bytes_processed: z.number(),
  }),
])

const snapshotSchema = z.object({ id: z.string(), time: z.string(), tags: z.array(z.string()).nullish() })

/** Reads a snapshot's tags; one that Croft did not make is left out. */
function backupOf({ id, time, tags }: z.infer<typeof snapshotSchema>): Backup[] {
  const found = new Map((tags ?? []).map((tag) => tag.split(/=(.*)/s, 2) as [string, string]))
  const [instance, vm, name] = [found.get('instance'), found.get('vm'), found.get('name')]
  if (instance === undefined) return []
  const of: BackupSubject | undefined = found.has('box') ? 'box' : vm && name ? { vm, name } : undefined
  return of ? [{ id, of, instance, at: new Date(time).toISOString() }] : []
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const noTarget = () =>
  new CroftError('unavailable', 'This box has no place for backups yet.', {
    hint: 'Choose one: croft backup to /mnt/backup, or sftp:, s3: or rest:.',
  })

const alreadyThere = ({ repository }: BackupTarget) =>
  new CroftError('conflict', `There are backups at ${repository} already.`, {
    hint: 'To go on with them, pass their recovery key: croft backup to … --key FILE. Otherwise choose another place.',
    argument: 'target',
  })

/** Turns restic's words into a sentence that says what to do. @param keyLine of the box, for an `sftp:` target */
function explained(error: unknown, { repository }: BackupTarget, keyLine: string | undefined): unknown {
  if (!(error instanceof CroftError) || error.code === 'cancelled') return error
  const said = String(error.details.stderr ?? error.message)
  const lines = said.trim().split('\n')
  // What ssh said of a host says more than what restic makes of it.
  const telling = lines.find((line) => line.startsWith('subprocess ssh: ')) ?? lines.at(-1) ?? ''
  const last = plainLine(telling)
    .replace(/^(subprocess ssh|Fatal): /, '')
    .replace(/\.$/, '')
  const unavailable = (message: string, hint: string, reason?: string) =>
    new CroftError('unavailable', message, { hint, cause: error, details: { reason: reason ?? last } })
  if (/wrong password or no key found/.test(said)) {
    return new CroftError('bad-value', `That key does not open the backups at ${repository}.`, {
      hint: 'Use the recovery key that was shown when backups began there.',
      details: { reason: 'wrong-key' },
    })
  }
  if (/Is there a repository at|config file does not exist|key does not exist|NoSuchBucket/i.test(said))
    return unavailable(`There are no backups at ${repository}.`, 'Is it mounted? Is the path right?', 'nothing-there')
  if (/x509|certificate/i.test(said)) {
    const hint = 'If an authority of your own has signed it, give its certificate: --authority ca.pem'
    return unavailable(`The certificate of ${repository} is not trusted: ${last}.`, hint)
  }
  if (/read-only file system/i.test(said)) {
    const hint =
      'The daemon may write to /mnt, /media, /srv and /backup. For another folder: systemctl edit croft, and add ReadWritePaths=/that/folder under [Service].'
    return unavailable(`The daemon can't write to ${repository}.`, hint)
  }
  if (/no space left|storage.?full|insufficient storage|quota/i.test(said))
    return unavailable(`${repository} is full.`, 'Make room there, or keep fewer backups: croft backup auto --keep …')
  if (keyLine && /permission denied|host key verification failed/i.test(said)) {
    const hint = /host key/i.test(said)
      ? 'Its host key has changed. If that is right, remove its old one: backup/known_hosts in the state folder.'
      : `Let the box in there: add this line to ~/.ssh/authorized_keys: ${keyLine}`
    return unavailable(`${repository} does not let the box in.`, hint)
  }
  if (/access denied|forbidden|\b403\b|permission denied|unauthorized|\b401\b/i.test(said))
    return unavailable(
      `${repository} does not let Croft do that: ${last}.`,
      'Check the user, the secret and the rights.',
    )
  if (/already locked/i.test(said))
    return unavailable(`Another restic works on ${repository}.`, 'Try again when it has ended.')
  if (error.code === 'program-failed' && /could not be started/.test(error.message))
    return unavailable('restic is not installed on the box.', 'Install it: apt install restic')
  return unavailable(`${repository} can't be used: ${last}.`, 'Automatic backups are tried again by themselves.')
}
