import { runProgram } from '../../lib/process/run.ts'

/**
 * Asks ssh-keygen about a public key, given as type and base64.
 * @returns the length in bits and the fingerprint as `SHA256:…`; undefined when ssh-keygen can't read the key
 */
export async function inspectKey(publicKey: string): Promise<{ bits: number; fingerprint: string } | undefined> {
  const { code, stdout } = await runProgram('ssh-keygen', ['-l', '-f', '-'], {
    input: `${publicKey}\n`,
    okCodes: [0, 1, 255],
  })
  const match = /^(\d+) (SHA256:\S+) /.exec(stdout)
  return code === 0 && match ? { bits: Number(match[1]), fingerprint: match[2]! } : undefined
}
