import { expect, test } from 'vitest'
import { stays, wakes, wakesWord, wakeTime } from './wakes.ts'

const now = new Date(2026, 10, 30, 22, 0)
const at = (hours: number) => new Date(now.getTime() + hours * 3_600_000).toISOString()

test('a VM says when it wakes and for what, with the day if it is not today or tomorrow', () => {
  const of = (hours: number) => wakes({ wakesAt: at(hours), wakesFor: 'certbot.timer' }, now)
  expect(of(5)).toBe('03:00 for certbot.timer (in 5 h)')
  expect(of(72)).toBe('Thu 3 Dec, 22:00 for certbot.timer (in 3 days)')
  expect(of(-1)).toBe('21:00 for certbot.timer (now)')
  expect([wakes({ wakesAt: null, wakesFor: null }, now), wakeTime({ wakesAt: null }, now)]).toEqual(['', ''])
})

test('a VM that sleeps wakes, and one that dozes goes on', () => {
  expect([wakesWord({ state: 'asleep' }), wakesWord({ state: 'dozing' })]).toEqual(['wakes', 'goes on'])
})

test('a VM that could sleep says what it stays awake for', () => {
  const dueSoon = { at: at(1 / 30), what: 'check-mail.timer' }
  expect(stays({ dueSoon }, now)).toBe('does not sleep: check-mail.timer is due in 2 min')
  expect(stays({ dueSoon: { ...dueSoon, at: at(-1 / 20) } }, now)).toBe(
    'does not sleep: check-mail.timer was due 3 min ago',
  )
  expect(stays({ dueSoon: null }, now)).toBe('')
})
