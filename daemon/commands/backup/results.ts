import { z } from 'zod'
import type { VmBackup } from '../../core/backup/find.ts'
import type { BackupRecord } from '../../store/index.ts'

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
