import { describe, expect, test } from 'vitest'
import type { BackupRecord, State, Vm } from '../store/index.ts'
import { emptyState } from '../store/schema/state.ts'
import { backupsCheck } from './check-backups.ts'

const now = Date.parse('2026-11-30T12:00:00Z')
const ago = (hours: number) => new Date(now - hours * 3_600_000).toISOString()
const vm = (name: string, tags: string[] = []) =>
  ({ id: `vm_${name}`, name, tags, phase: 'ready', createdAt: ago(1000) }) as unknown as Vm
const record = (hours: number, error: string | null = null): BackupRecord => ({
  at: ago(hours),
  addedBytes: 1,
  bytes: 1,
  triedAt: ago(0.1),
  error,
  provenAt: null,
})
const withPlan = (vms: Record<string, BackupRecord>, box = record(1), tag: string | null = null): State => ({
  ...emptyState('i'),
  vms: { vm_web: vm('web', ['prod']), vm_db: vm('db') },
  backups: { plan: { everyMinutes: 1440, keep: { daily: 7, weekly: 5, monthly: 12 }, tag }, vms, box },
})
const fine = { vm_web: record(30), vm_db: record(47) }

describe('doctor says of backups', () => {
  test.each([
    ['that there is no place for them', emptyState('i'), undefined, 'look', /nowhere else/],
    ['that none are made by themselves', emptyState('i'), '/mnt/b', 'look', /none are made by themselves/],
    ['that they are as planned', withPlan(fine), '/mnt/b', 'fine', /^every day to \/mnt\/b$/],
    [
      'that a VM has none',
      withPlan({ vm_web: record(1) }),
      '/mnt/b',
      'wrong',
      /^no backup for twice as long as planned, which is every day: db$/,
    ],
    [
      'that one is too old, and why',
      withPlan({ ...fine, vm_web: record(49, 'It is full.') }),
      '/m',
      'wrong',
      /web. It is full\.$/,
    ],
    ['nothing of VMs without the tag', withPlan({ vm_web: record(1) }, record(1), 'prod'), '/m', 'fine', /^every/],
    [
      'that the last one failed',
      withPlan({ ...fine, vm_db: record(3, 'It is full.') }),
      '/m',
      'look',
      /tried again: It is full\./,
    ],
    ['that the one of the box failed', withPlan(fine, record(3, 'It is gone.')), '/m', 'look', /It is gone\./],
  ] as const)('%s', (_, state, target, found, says) => {
    expect(backupsCheck(state, target, now)).toMatchObject({
      what: 'backups',
      state: found,
      says: expect.stringMatching(says),
    })
  })
})
