import { CroftError } from '../error.ts'

/**
 * Splits a command line into words like sh, without expansions: blanks separate words; 'single' and "double" quotes and
 * backslashes keep blanks in a word; in double quotes a backslash escapes only `"`, `\`, `$` and the backquote.
 * @throws CroftError `misuse` for an unclosed quote
 */
export function splitWords(line: string): string[] {
  const words: string[] = []
  const token = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)|(['"\\])/gsy
  let word: string | undefined
  for (const match of line.matchAll(token)) {
    const [whole, single, double, escaped, plain, stray] = match
    if (stray)
      throw new CroftError('misuse', `A ${stray === '\\' ? 'backslash ends the line' : `${stray} is not closed`}.`)
    const part = single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain
    if (part !== undefined) word = (word ?? '') + part
    else if (whole && word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  if (word !== undefined) words.push(word)
  return words
}
