import { z } from 'zod'

/** How the last backups of a VM, or of the box, went. */
export const backupRecordSchema = z.object({
  /** When the last one that is complete was begun; null for none. */
  at: z.iso.datetime().nullable(),
  /** How much that one sent, and the size of what it saved. */
  addedBytes: z.int().min(0),
  bytes: z.int().min(0),
  /** When the last attempt was begun, and why it failed; null when it did not. */
  triedAt: z.iso.datetime(),
  error: z.string().nullable(),
  /** When it was last tried whether a backup comes back, and it did. */
  provenAt: z.iso.datetime().nullable(),
})

/** How many backups are kept: the newest of each of so many days, weeks and months that have one. */
export const retentionSchema = z.object({
  daily: z.int().min(0).max(999),
  weekly: z.int().min(0).max(999),
  monthly: z.int().min(0).max(999),
})

export const backupPlanSchema = z.object({
  everyMinutes: z.int().min(1),
  keep: retentionSchema,
  /** Only VMs with this tag; null for all. */
  tag: z.string().nullable(),
})

export const backupsSchema = z.object({
  /** Automatic backups; null for none. */
  plan: backupPlanSchema.nullable(),
  /** By the VM's id. */
  vms: z.record(z.string(), backupRecordSchema),
  box: backupRecordSchema.nullable(),
})

export type BackupRecord = z.infer<typeof backupRecordSchema>

export type BackupPlan = z.infer<typeof backupPlanSchema>

export type Retention = z.infer<typeof retentionSchema>
