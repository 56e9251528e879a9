import { runProgram } from '../../lib/process/run.ts'

/** The version of the Caddy that is installed, such as [2, 6, 2]. Queried once, and cached; undefined if it can't be told. */
let asked: Promise<number[] | undefined> | undefined
export function caddyVersion(): Promise<number[] | undefined> {
  asked ??= runProgram('caddy', ['version']).then(
    ({ stdout }) => parseVersion(stdout),
    () => undefined,
  )
  return asked
}

/** Parses `v2.10.2 h1:…`, or Debian's `2.6.2`. Pure. */
export function parseVersion(text: string): number[] | undefined {
  const [, major, minor, patch] = /^v?(\d+)\.(\d+)\.(\d+)/.exec(text.trim()) ?? []
  return patch === undefined ? undefined : [major, minor, patch].map(Number)
}

/** Whether a version is older than another; an unknown one counts as new. Pure. */
export function isOlder(version: readonly number[] | undefined, than: readonly [number, number]): boolean {
  if (!version) return false
  const [major = 0, minor = 0] = version
  return major < than[0] || (major === than[0] && minor < than[1])
}
