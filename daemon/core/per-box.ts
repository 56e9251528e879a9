import type { Box } from './box.ts'

/**
 * Keeps state that only one verb needs beside that verb, rather than in `Box`.
 * @param make creates the state of a box when it is first asked for @returns returns the state of a box
 */
export function perBox<T>(make: (box: Box) => T): (box: Box) => T {
  const made = new WeakMap<Box, T>()
  return (box) => {
    const known = made.get(box)
    if (known !== undefined) return known
    const first = make(box)
    made.set(box, first)
    return first
  }
}
