/** How a command line is written: for the daemon, which runs some, and the console, which shows them. */

/** The flag of an argument: `--setup-script` of `setupScript`. Pure. */
export const flagOf = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

/** A word for sh, whatever is in it; as it is where that will do. Pure. */
export const quote = (word: string): string =>
  /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
