import type { Box } from './box.ts'

/**
 * State that only some of what the box can do needs: it stands with that, rather than in `Box`.
 * @param make makes it when it is first asked for @returns gives that of a box
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
