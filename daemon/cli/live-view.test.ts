import { EventEmitter, once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { LiveView } from './live-view.ts'

/** A minimal terminal: moves the cursor, erases, and does not wrap. */
class Screen extends EventEmitter {
  columns = 20
  rows = 6
  lines: string[] = ['']
  cursorSeen = true
  #at = { line: 0, column: 0 }
  stalled: (() => void)[] | undefined

  write(text: string, done: () => void): void {
    for (const [piece] of text.matchAll(/\u001b\[\??\d*[A-Za-z]|[\s\S]/g)) this.#take(piece)
    if (this.stalled) this.stalled.push(done)
    else done()
    this.emit('drawn')
  }

  resize(columns: number, rows: number): void {
    Object.assign(this, { columns, rows })
    this.emit('resize')
  }

  get text(): string {
    return this.lines.map((line) => line.trimEnd()).join('\n')
  }

  #take(piece: string): void {
    const at = this.#at
    const [, private_, count, final] = /^\u001b\[(\??)(\d*)([A-Za-z])$/.exec(piece) ?? []
    if (private_) {
      if (count === '25') this.cursorSeen = final === 'h'
    } else if (final === 'A') at.line = Math.max(0, at.line - Number(count))
    else if (final === 'H') at.line = at.column = 0
    else if (final === 'J') this.lines = [...this.lines.slice(0, at.line), this.lines[at.line]!.slice(0, at.column)]
    else if (final === 'K') this.lines[at.line] = this.lines[at.line]!.slice(0, at.column)
    else if (piece === '\r') at.column = 0
    else if (piece === '\n') {
      at.line += 1
      at.column = 0
      this.lines[at.line] ??= ''
    } else {
      const line = this.lines[at.line]!.padEnd(at.column)
      this.lines[at.line] = line.slice(0, at.column) + piece + line.slice(at.column + 1)
      at.column = Math.min(at.column + 1, this.columns - 1)
    }
  }
}

test('each frame replaces the previous one, even with fewer lines', async () => {
  const screen = new Screen()
  screen.write('$ top\n', () => {})
  const picture = new LiveView(screen)
  for (const [text, shown] of [
    ['one\ntwo\nthree\n', 'one\ntwo\nthree'],
    ['1\n2 and more\n3\n4\n', '1\n2 and more\n3\n4'],
    ['a\nb\n', 'a\nb'],
    ['only one\n', 'only one'],
  ] as const) {
    await picture.show(text, 0)
    expect(screen.text).toBe(`$ top\n${shown}`)
    expect([picture.shown, screen.cursorSeen]).toEqual([true, false])
  }
  picture.leave()
  screen.write('$ ', () => {})
  expect(screen.text).toBe('$ top\nonly one\n$')
  expect([picture.shown, screen.cursorSeen]).toEqual([false, true])
})

test('a line as wide as the terminal keeps its last character, and a wider one does not wrap', async () => {
  const screen = new Screen()
  const picture = new LiveView(screen)
  await picture.show(`${'x'.repeat(20)}\n${'y'.repeat(50)}\nz\n`, 0)
  expect(screen.text).toBe(`${'x'.repeat(20)}\n${'y'.repeat(20)}\nz`)
})

test('a resize is reported immediately, and the next frame starts at the top of the screen', async () => {
  const screen = new Screen()
  screen.write('$ top\n', () => {})
  const picture = new LiveView(screen)
  const next = picture.show('wide\n', 60_000)
  screen.resize(30, 4)
  expect(await next).toEqual({ columns: 30, rows: 4 })
  screen.resize(10, 4)
  expect(await picture.show('made for 30 columns\n', 60_000)).toEqual({ columns: 20, rows: 4 })
  await picture.show('narrow\n', 0)
  expect(screen.text).toBe('narrow')
  expect(screen.listenerCount('resize')).toBe(0)
})

test('leaving ends the wait, even when the terminal does not read', async () => {
  const screen = new Screen()
  const picture = new LiveView(screen)
  const waiting = picture.show('a\n', 60_000)
  picture.leave()
  await waiting
  screen.stalled = []
  using late = vi.spyOn(globalThis, 'setTimeout')
  const drawn = once(screen, 'drawn')
  const stuck = picture.show('b\n', 0)
  await drawn
  picture.leave()
  await stuck
  const again = picture.show('c\n', 60_000)
  screen.resize(30, 6)
  await again
  for (const done of screen.stalled) done()
  expect(screen.listenerCount('resize')).toBe(0)
  expect(late).not.toHaveBeenCalled()
})
