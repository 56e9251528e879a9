import { describe, expect, test } from 'vitest'
import { emptyState } from '../../store/schema/state.ts'
import type { Backup } from '../interfaces/backup-store.ts'
import { backupsOf, findBackup, type VmBackup } from './find.ts'

const backup = (id: string, vm: string, name: string, at: string, instance = 'here'): VmBackup => ({
  id,
  of: { vm, name },
  instance,
  at,
})
const all: Backup[] = [
  backup('aaaaaaaa11', 'vm_old', 'web', '2026-11-27T10:00:00.000Z'),
  backup('bbbbbbbb22', 'vm_web', 'web', '2026-11-28T10:00:00.000Z'),
  backup('cccccccc33', 'vm_web', 'site', '2026-11-29T10:00:30.000Z'),
  { id: 'dddddddd44', of: 'box', instance: 'here', at: '2026-11-29T11:00:00.000Z' },
]
const state = emptyState('here')
const withWeb = { ...state, vms: { vm_web: { id: 'vm_web', name: 'web' } as never } }

test('the backups of a VM are those of it under every name, and of one that is gone, those under its name', () => {
  expect(backupsOf(withWeb, all, 'web').map(({ id }) => id)).toEqual(['bbbbbbbb22', 'cccccccc33'])
  expect(backupsOf(state, all, 'web').map(({ id }) => id)).toEqual(['aaaaaaaa11', 'bbbbbbbb22'])
  expect(backupsOf(state, all, 'site').map(({ id }) => id)).toEqual(['cccccccc33'])
  expect(backupsOf({ ...withWeb, instance: 'elsewhere' }, all, 'web').map(({ id }) => id)).toEqual([
    'aaaaaaaa11',
    'bbbbbbbb22',
  ])
})

describe('a backup is found', () => {
  const own = all.slice(0, 3) as VmBackup[]
  test.each([
    [undefined, 'cccccccc33'],
    ['bbbbbbbb', 'bbbbbbbb22'],
    ['2026-11-28', 'bbbbbbbb22'],
    ['2026-11-29T10:00', 'cccccccc33'],
    ['2026-11-29T10:00:29Z', 'bbbbbbbb22'],
    ['2027-01-01', 'cccccccc33'],
  ])('by %s', (when, id) => {
    expect(findBackup(own, 'web', when).id).toBe(id)
  })

  test.each(['2026-11-26', 'aaa', 'yesterday', '2026', ''])('not by %j', (when) => {
    expect(() => findBackup(own, 'web', when)).toThrow(/no backup of web as of/)
  })

  test('not when there is none', () => {
    expect(() => findBackup([], 'web', undefined)).toThrow('There is no backup of web.')
  })
})
