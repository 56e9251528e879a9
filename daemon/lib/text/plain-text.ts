/** Escape sequences of ECMA-48: CSI, OSC and other strings up to their terminator, two-character ones. */
const escapes = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g

/**
 * Makes text from a guest safe to print anywhere: removes escape sequences, control characters other than newline and
 * tab, and characters that reorder or hide others.
 */
export function plainText(text: string): string {
  return text
    .replace(escapes, '')
    .replace(/\r+\n/g, '\n')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '')
}

/** Does the same, and leaves one line of visible characters: for the names that clients and CAs give themselves. */
export const plainLine = (text: string): string => plainText(text).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '')

/** The beginning of an escape sequence whose end is still to come. */
const unfinished = /\u001b(?:\[[0-?]*[ -/]*|[\]PX^_][^\u0007\u001b]*|[ -/]*)$/
/** Anything longer is not an escape sequence. */
const longestSequence = 4096

/** A streaming `plainText`: the text arrives in pieces, which may end anywhere, even within an escape sequence. */
export function plainPieces(): (piece: string) => string {
  let rest = ''
  return (piece) => {
    const text = rest + piece
    const begun = unfinished.exec(text)
    rest = begun && begun[0].length < longestSequence ? begun[0] : ''
    return plainText(text.slice(0, text.length - rest.length))
  }
}
