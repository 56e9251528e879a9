/** How a command line is written: for the daemon, which runs some, and the console, which shows them. */

/** The flag of an argument: `--setup-script` of `setupScript`. Pure. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** A word for sh, whatever is in it; as it is where that will do. Pure. */
export const quote = (word: string): string =>
  /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`

/** How a command is written on a command line. */
export interface Syntax {
  positional: readonly string[]
  rest: string | undefined
  /** Arguments whose content comes from a file there. */
  files: readonly FileArgument[]
}

export interface FileArgument {
  key: string
  /** How values begin that are no file's, and meant as they are. */
  literal?: string | undefined
}

/** Whether what is given for it is, or comes from, a file. Pure. */
export const isOfFile = ({ literal }: FileArgument, value: string): boolean =>
  literal === undefined || !value.startsWith(literal)

/** The command line that runs a command with these arguments; the content of files is not in it. Pure. */
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
  // It would be taken for a flag of ours.
  if (last[0]?.startsWith('-')) last.unshift('--')
  const words = positional.flatMap((key) => (args[key] === '' ? [''] : wordsOf(key)))
  return ['croft', ...name.split(' '), ...words, ...flags, ...last].map(quote).join(' ')
}

const listOf = (value: unknown): string[] =>
  value === undefined || value === '' ? [] : Array.isArray(value) ? value.map(String) : [String(value)]
