import type { Box } from './box.ts'

/**
 * Attaches state to a box from outside: a module that alone needs the state keeps it here, rather than in `Box`.
 * @param make creates the state for a box, on first use @returns a function that returns the state for a box
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
