/** Escape sequences of ECMA-48: CSI, OSC and other strings up to their terminator, two-character ones. */
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g

/**
 * Text from a guest as text that is safe to print anywhere: no escape sequences, no control characters but newline and
 * tab, no characters that reorder or hide others.
 */
export function plainText(text: string): string {
  return text
    .replace(escapes, '')
    .replace(/\r+\n/g, '\n')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')
}

/** The same as one line, of characters that can be seen: what a client or a CA calls itself. */
export const plainLine = (text: string): string => plainText(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')

/** The beginning of an escape sequence whose end is still to come. */
const unfinished = /\u001b(?:\[[0-?]*[ -/]*|[\]PX^_][^\u0007\u001b]*|[ -/]*)$/
/** A sequence that is longer is none. */
const longestSequence = 4096

/** The same for text that comes in pieces, which may be cut anywhere. */
export function plainPieces(): (piece: string) => string {
  let rest = ''
  return (piece) => {
    const text = rest + piece
    const begun = unfinished.exec(text)
    rest = begun && begun[0].length < longestSequence ? begun[0] : ''
    return plainText(text.slice(0, text.length - rest.length))
  }
}
