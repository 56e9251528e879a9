import { z } from 'zod'
import { CroftError } from '../../lib/error.ts'
import { command } from '../kit/command.ts'
import { noTarget } from './results.ts'

const lineArg = z.string().trim().min(1).max(4096)

export const backupToCommand = command({
  name: 'backup to',
  summary: 'Choose where backups go: a folder, SFTP, S3 or a REST server',
  details:
    'Backups are made with restic, which encrypts them before they leave the box. The first time, Croft makes a recovery key and shows it: without it nobody can read the backups, so keep it somewhere other than on this box. Without a target, the command says which one is in use.',
  examples: [
    'croft backup to /mnt/backup',
    'croft backup to sftp:backup@nas.example.com:/croft',
    'croft backup to s3:https://s3.example.com/croft --user AKIA… --secret secret.txt',
    'croft backup to rest:https://backup.example.com/ --user croft --secret -',
    'croft backup to /mnt/backup --key recovery-key.txt',
  ],
  args: z.object({
    target: z
      .string()
      .max(1024)
      .regex(
        /^(\/[^\s]*|sftp:[^\s@-][^\s]*:[^\s]*|s3:https?:\/\/[^\s/]+\/[^\s]+|rest:https?:\/\/[^\s]+)$/,
        'it must be like /mnt/backup, sftp:user@host:/path, s3:https://host/bucket or rest:https://host/',
      )
      .refine(
        (text) => !/^\/(tmp|var\/tmp|run|dev|proc|sys)(\/|$)/.test(text),
        'what is there does not stay: choose a folder on a disk',
      )
      .refine((text) => !/^[a-z0-9]+:https?:\/\/[^/]*@/.test(text), 'user and password go into --user and --secret')
      .optional()
      .describe('Where they go')
      .meta({ placeholder: 'target' }),
    user: z
      .string()
      .min(1)
      .max(256)
      .optional()
      .describe('The access key id for S3, or the user for REST')
      .meta({ placeholder: 'user' }),
    secret: lineArg
      .optional()
      .describe('A file with the secret access key or the password, or - to read it from standard input')
      .meta({ file: true, placeholder: 'file', secret: true }),
    key: lineArg
      .optional()
      .describe('A file with the recovery key of backups that are there already, or -')
      .meta({ file: true, placeholder: 'file', secret: true }),
    authority: z
      .string()
      .max(64 * 1024)
      .regex(/^-----BEGIN CERTIFICATE-----/, 'it must be a certificate in PEM form')
      .optional()
      .describe("A file with the certificate that the server's own one is checked against")
      .meta({ file: true, placeholder: 'file' }),
  }),
  positional: ['target'],
  result: z.object({
    target: z.string().nullable(),
    user: z.string().nullable(),
    /** The recovery key, as long as there are no backups at the target. */
    key: z.string().nullable(),
    /** Whether the target is a folder on the disk that holds the VMs. */
    sameDisk: z.boolean(),
  }),
  touches: 'changes',
  grants: 'access',
  async run({ box, report, signal }, { target, user, secret, key, authority }) {
    if (target === undefined) {
      if ((user ?? secret ?? key ?? authority) !== undefined)
        throw new CroftError('misuse', 'These belong to a target, and none was given.', {
          hint: 'croft backup to s3:https://host/bucket --user … --secret …',
          argument: 'target',
        })
      return {
        target: box.backups.target?.repository ?? null,
        user: box.backups.target?.user ?? null,
        key: null,
        sameDisk: false,
      }
    }
    if (user !== undefined && !/^(s3|rest):/.test(target))
      throw new CroftError('misuse', 'Only S3 and REST have --user and --secret.', {
        hint: 'A folder needs none. For SFTP, the user is part of the target, and the box has a key of its own.',
        argument: 'user',
      })
    report({ subject: target, step: 'looking for backups there', fraction: 0.2 })
    const secrets = { secret: secret ?? null, authority: authority ?? null }
    const before = box.backups.target?.repository
    const begun = await box.backups.use({ repository: target, user: user ?? null }, secrets, key, signal)
    // What was backed up elsewhere is not here.
    if (before !== target)
      await box.store.update((state) => ({ ...state, backups: { ...state.backups, vms: {}, box: null } }))
    return { target, user: user ?? null, ...begun }
  },
  print({ target, key, sameDisk }, view) {
    if (target === null) return noTarget(view)
    const next = `Make one of everything: ${view.croft} backup now\nMake them every day:    ${view.croft} backup auto --every 1d\n`
    const risk = sameDisk ? 'That is on the disk of the VMs: when it fails, the backups are lost too.\n' : ''
    if (key === null) return `Backups go to ${target}.\n${risk}${next}`
    return `Backups go to ${target}.\n${risk}\n  recovery key   ${key}\n\nIt is not shown again once there are backups. Keep it somewhere other than on this box: without it, nobody can read the backups.\n\n${next}`
  },
})
