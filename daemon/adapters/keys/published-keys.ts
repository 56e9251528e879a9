import { CroftError } from '../../lib/error.ts'

const timeoutMs = 10_000
const mostBytes = 64 * 1024

/**
 * Gets the public SSH keys that a GitHub user has published, as lines of authorized_keys: `<base>/<user>.keys`.
 * @param base `https://github.com`
 * @throws CroftError `not-found` when there is no such user, or no key; `too-large`; `unavailable`
 */
export async function publishedKeys(base: string, user: string): Promise<string> {
  const { host } = new URL(base)
  const failed = (why: string, cause?: unknown) =>
    new CroftError('unavailable', `Croft couldn't get the keys of ${user} from ${host}: ${why}.`, {
      hint: 'Try again later, or add the keys from a file: croft key add - < keys',
      cause,
    })
  let status: number
  let text: string
  try {
    // A redirect might lead to the keys of somebody else.
    const answer = await fetch(`${base}/${user}.keys`, { redirect: 'manual', signal: AbortSignal.timeout(timeoutMs) })
    status = answer.status
    text = await bounded(answer.body)
  } catch (cause) {
    throw cause instanceof CroftError ? cause : failed(reasonOf(cause), cause)
  }
  if (status === 404) throw new CroftError('not-found', `There is no ${user} at ${host}.`)
  if (status !== 200) throw failed(`it answered with ${status}`)
  if (text.trim() === '') throw new CroftError('not-found', `${user} has no keys at ${host}.`)
  return text
}

async function bounded(body: ReadableStream<Uint8Array> | null): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body ?? []) {
    bytes += chunk.length
    if (bytes > mostBytes) throw new CroftError('too-large', `That is more than ${mostBytes / 1024} KiB of keys.`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The message of an error of fetch says only that it failed; its cause says why. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return `there was no answer within ${timeoutMs / 1000} s`
  const { cause } = error as { cause?: NodeJS.ErrnoException }
  return cause?.message || cause?.code || error.message
}
