/** Where backups go: a restic repository. */
export interface BackupTarget {
  /** As restic names it, without secrets: a folder, `sftp:…`, `s3:…` or `rest:…`. */
  repository: string
  /** The user or the access key id, for S3 and REST; null for none. */
  user: string | null
}

/** What makes the target usable. `key` decrypts the backups: without it they are worth nothing. */
export interface BackupSecrets {
  key: string
  /** The password or the secret access key that belongs to `user`; null for none. */
  secret: string | null
  /** The certificate of the authority that the target's own one is checked against (PEM); null for the system's list. */
  authority: string | null
}

/** What a backup is of: a VM, by its id, or the box itself. */
export type BackupSubject = { vm: string; name: string } | 'box'

export interface Backup {
  /** restic's id of the snapshot. */
  id: string
  of: BackupSubject
  /** Id of the store whose VM it is, which tells boxes apart that share a target. */
  instance: string
  at: string
}

export interface Saved {
  id: string
  /** How much was sent, compressed and encrypted: what the target did not have yet. */
  addedBytes: number
  /** The size of the files. */
  bytes: number
}

/** What a target looks like as it begins to be used. */
export interface BackupBeginning {
  /** The key, as long as there are no backups: somebody must keep it. */
  key: string | null
  /** Whether it is a folder on the file system that holds the VMs, and is lost with it. */
  sameDisk: boolean
}

/** Keeps backups outside the box. All but `target` throw CroftError `unavailable` when the target can't be used. */
export interface BackupStore {
  readonly target: BackupTarget | undefined
  /**
   * Begins to use a target: makes a repository there, or opens the one that is there already.
   * @param key opens an existing repository; undefined for the one in use, or to make a new one with a new key
   * @throws CroftError `conflict` when there is another repository and no key was given, `bad-value` for a wrong key
   */
  use(
    target: BackupTarget,
    secrets: Omit<BackupSecrets, 'key'>,
    key: string | undefined,
    signal: AbortSignal,
  ): Promise<BackupBeginning>
  /** Sends files as one backup. Paths are relative to the state folder. @param like an earlier backup of the same */
  save(
    of: BackupSubject,
    instance: string,
    paths: readonly string[],
    like: string | undefined,
    onProgress: (fraction: number) => void,
    signal: AbortSignal,
  ): Promise<Saved>
  /** Lists the backups, oldest first. */
  list(signal: AbortSignal): Promise<Backup[]>
  /** Reads a small file of a backup. @throws CroftError `not-found` */
  read(backup: string, path: string, signal: AbortSignal): Promise<string>
  /** Writes files of a backup into a folder, under their own paths. @param folder relative to the state folder */
  fetch(backup: string, paths: readonly string[], folder: string, signal: AbortSignal): Promise<void>
  /** Forgets backups. What only they needed stays at the target until `prune`. */
  forget(backups: readonly string[], signal: AbortSignal): Promise<void>
  prune(signal: AbortSignal): Promise<void>
  /** Checks the repository, and reads so many percent of its data back. @returns what is wrong, in restic's words */
  check(percent: number, signal: AbortSignal): Promise<string[]>
}
