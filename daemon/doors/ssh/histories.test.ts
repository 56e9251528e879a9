import { expect, test } from 'vitest'
import { LobbyHistories } from './histories.ts'

test('histories are kept for the hundred users that came last', () => {
  const histories = new LobbyHistories()
  histories.of('first').push('ls')
  for (let i = 0; i < 99; i++) histories.of(`certificate ${i}`).push('ls')
  expect(histories.of('first')).toEqual(['ls'])
  histories.of('one more')
  expect(histories.of('certificate 0')).toEqual([])
  expect(histories.of('first')).toEqual(['ls'])
})
