import { runProgram } from '../../lib/run.ts'

/**
 * What ssh-keygen says of a public key, given as type and base64; undefined when it can't read it.
 * @returns the length in bits, and the fingerprint as `SHA256:…`
 */
export async function inspectKey(publicKey: string): Promise<{ bits: number; fingerprint: string } | undefined> {
  const { code, stdout } = await runProgram('ssh-keygen', ['-l', '-f', '-'], {
    input: `${publicKey}\n`,
    okCodes: [0, 1, 255],
  })
  const match = /^(\d+) (SHA256:\S+) /.exec(stdout)
  return code === 0 && match ? { bits: Number(match[1]), fingerprint: match[2]! } : undefined
}
