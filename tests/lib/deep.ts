/** Whether this run has the time to try everything (`tests/run deep`), and not only the part that says most. */
export const deep = Boolean(process.env.CROFT_DEEP)

/** All of a list in a deep run, else only these few of it. */
export const sample = <T>(all: readonly T[], ...few: T[]): readonly T[] => (deep ? all : few)
