/**
 * The time of day, by the clock as it is set now, of a moment that is known by the clock that nobody sets
 * (`performance.now()`).
 */
export const timeOf = (at: number): Date => new Date(Date.now() - (performance.now() - at))
