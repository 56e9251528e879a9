/** Keys that a touch keyboard lacks, as a terminal sends them: control characters and xterm's sequences. */

export const keys = ['Esc', 'Tab', '←', '↑', '↓', '→'] as const
export type TerminalKey = (typeof keys)[number]

/** What a screen reader says instead of an arrow. */
export const titles: Readonly<Partial<Record<TerminalKey, string>>> = {
  '←': 'Left',
  '↑': 'Up',
  '↓': 'Down',
  '→': 'Right',
}

const finals = { '←': 'D', '↑': 'A', '↓': 'B', '→': 'C' } as const

/** @param application whether the program in the terminal has set application cursor keys (DECCKM) */
export function sequenceOf(key: TerminalKey, { ctrl, application }: { ctrl: boolean; application: boolean }): string {
  if (key === 'Esc') return '\x1b'
  if (key === 'Tab') return '\t'
  const final = finals[key]
  if (ctrl) return `\x1b[1;5${final}`
  return `\x1b${application ? 'O' : '['}${final}`
}

/**
 * Returns what a character is with Ctrl held: ^C for c. A character without a control character stays as it is. Pure.
 */
export function withCtrl(letter: string): string {
  const code = letter.toUpperCase().charCodeAt(0)
  if (letter === ' ') return '\0'
  return letter.length === 1 && code >= 0x40 && code < 0x60 ? String.fromCharCode(code & 0x1f) : letter
}
