import { z } from 'zod'
import type { VmBackup } from '../../core/backup/find.ts'
import type { BackupRecord } from '../../store/index.ts'
import type { View } from '../kit/command.ts'

/** Says that there is no place for backups, and how to choose one. */
export const noTarget = (view: View): string =>
  `This box has no place for backups yet. Choose one: ${view.croft} backup to /mnt/backup\n`

/** A time to the second, in UTC: 2026-11-30 18:04:05. */
export const utc = (iso: string): string => iso.slice(0, 19).replace('T', ' ')

export const backupResult = z.object({
  id: z.string(),
  vm: z.string(),
  at: z.string(),
})

export type BackupResult = z.infer<typeof backupResult>

export const describeBackup = ({ id, of, at }: VmBackup): BackupResult => ({ id: id.slice(0, 8), vm: of.name, at })

/** How the last backup of a VM, or of the box, went. */
export const backupStateResult = z.object({
  /** Its name; null for the box. */
  vm: z.string().nullable(),
  /** When the last one that is complete was begun. */
  at: z.string().nullable(),
  addedBytes: z.number(),
  bytes: z.number(),
  /** Why the last attempt failed. */
  error: z.string().nullable(),
  /** When it was last tried whether a backup comes back, and it did. */
  provenAt: z.string().nullable(),
})

export type BackupStateResult = z.infer<typeof backupStateResult>

export const describeState = (vm: string | null, record: BackupRecord | null | undefined): BackupStateResult => ({
  vm,
  at: record?.at ?? null,
  addedBytes: record?.addedBytes ?? 0,
  bytes: record?.bytes ?? 0,
  error: record?.error ?? null,
  provenAt: record?.provenAt ?? null,
})
