import { expect, test } from 'vitest'
import { emptyState } from '../../store/schema/state.ts'
import { movedLifetimes } from './lifetimes.ts'

const at = (time: string) => `2026-01-${time}:00.000Z`
const link = (createdAt: string, expiresAt: string) =>
  ({ id: 'l', digest: '', vm: 'v', port: null, name: '', createdAt: at(createdAt), expiresAt: at(expiresAt) }) as const

test('when the clock is set, times since the start move with it, and older ones stay', () => {
  const links = {
    older: link('01T10:00', '09T10:00'),
    made: link('03T10:00', '03T11:00'),
    after: link('04T10:20', '04T11:20'),
  }
  const day = 86_400_000
  const [from, to] = [new Date(at('03T09:00')), new Date(at('03T10:20'))]
  const forward = movedLifetimes({ ...emptyState('i'), links }, from, to, day)
  expect(forward.links).toEqual({ ...links, made: link('04T10:00', '04T11:00') })
  const moved = (when: Date) => new Date(when.getTime() + day)
  expect(
    movedLifetimes({ ...emptyState('i'), links: { made: forward.links.made! } }, moved(from), moved(to), -day).links,
  ).toEqual({
    made: links.made,
  })
})
