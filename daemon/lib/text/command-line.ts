/** Formats command lines: for the daemon, which runs some, and the console, which shows them. */

/** The flag for an argument: `--setup-script` for `setupScript`. Pure. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** Quotes a word for sh, if it needs quotes. Pure. */
export const quote = (word: string): string =>
  /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

/** The syntax of a command on a command line. */
export interface Syntax {
  positional: readonly string[]
  rest: string | undefined
  /** Arguments whose content comes from a file on the command line. */
  files: readonly FileArgument[]
}

export interface FileArgument {
  key: string
  /** The prefix of values that are meant literally rather than as a file. */
  literal?: string | undefined
}

/** Whether a value of this argument is, or comes from, a file. Pure. */
export const isOfFile = ({ literal }: FileArgument, value: string): boolean =>
  literal === undefined || !value.startsWith(literal)

/** Formats the command line that runs a command with these arguments, without the content of files. Pure. */
export function formatCommandLine(
  name: string,
  args: Readonly<Record<string, unknown>>,
  { positional, rest, files }: Syntax,
): string {
  const given = Object.entries(args).filter(([, value]) => value !== undefined && value !== false && value !== '')
  const wordsOf = (key: string) => {
    const file = files.find((each) => each.key === key)
    return listOf(args[key]).map((each) => (file && isOfFile(file, each) ? 'file' : each))
  }
  const flags = given
    .filter(([key]) => !positional.includes(key) && key !== rest)
    .flatMap(([key, value]) => (value === true ? [flagOf(key)] : wordsOf(key).flatMap((each) => [flagOf(key), each])))
  const last = rest === undefined ? [] : listOf(args[rest])
  // Otherwise it would be read as a flag of croft's.
  if (last[0]?.startsWith('-')) last.unshift('--')
  const words = positional.flatMap((key) => (args[key] === '' ? [''] : wordsOf(key)))
  return ['croft', ...name.split(' '), ...words, ...flags, ...last].map(quote).join(' ')
}

const listOf = (value: unknown): string[] =>
  value === undefined || value === '' ? [] : Array.isArray(value) ? value.map(String) : [String(value)]
