/** Whether this run has time for everything (`tests/run deep`), not only for the most telling part. */
export const deep = Boolean(process.env.CROFT_DEEP)

/** Returns all of a list in a deep run, otherwise a few of it. */
export const sample = <T>(all: readonly T[], ...few: T[]): readonly T[] => (deep ? all : few)
