import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const againMs = 1000

/**
 * Runs a program that prints a line for each event, and restarts the program if it exits. The program ends with this
 * process.
 * @param onGap called when the program has been restarted: events in between were missed
 * @returns ends the program
 */
export function followProgram(
  [program, ...args]: readonly [string, ...string[]],
  onLine: (line: string) => void,
  onGap: () => void,
): () => void {
  let child: ChildProcess | undefined
  let ended = false
  const start = () => {
    child = spawn('setpriv', ['--pdeathsig', 'TERM', program, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })
    createInterface({ input: child.stdout! }).on('line', onLine)
    child.on('error', () => {})
    child.on('exit', () => {
      if (ended) return
      setTimeout(() => {
        if (ended) return
        start()
        onGap()
      }, againMs).unref()
    })
  }
  start()
  return () => {
    ended = true
    child?.kill()
  }
}
