/**
 * Converts a moment of the monotonic clock (`performance.now()`), which nobody sets, to the time of day, by the clock
 * as it is set now.
 */
export const timeOf = (at: number): Date => new Date(Date.now() - (performance.now() - at))
