import { expect, test } from 'vitest'
import { byTurn, type Due } from './autostart.ts'

const due = (name: string, priority: 'low' | 'normal' | 'high', day: number, more: Partial<Due> = {}) => ({
  name,
  wantedAt: undefined,
  pinned: false,
  vm: { priority, createdAt: `2026-01-0${day}T00:00:00.000Z` },
  ...more,
})

test('VMs that somebody waits for start first, then by priority, then those that never sleep, then the oldest', () => {
  const all = [
    due('new', 'normal', 9),
    due('old', 'normal', 1),
    due('low, never sleeps', 'low', 1, { pinned: true }),
    due('high', 'high', 5),
    due('never sleeps', 'normal', 8, { pinned: true }),
    due('waited for since then', 'low', 9, { wantedAt: 20 }),
    due('waited for longer', 'low', 9, { wantedAt: 10 }),
  ]
  expect(all.sort(byTurn).map(({ name }) => name)).toEqual([
    'waited for longer',
    'waited for since then',
    'high',
    'never sleeps',
    'old',
    'new',
    'low, never sleeps',
  ])
})
