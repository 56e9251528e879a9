import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { must } from './program.ts'

/** A key pair made by ssh-keygen: the paths of both halves, and the public key. */
export interface KeyPair {
  path: string
  publicPath: string
  publicKey: string
}

/** Makes SSH keys, in a folder that is removed on disposal. */
export class KeyMaker implements AsyncDisposable {
  readonly #folder = mkdtemp(join(tmpdir(), 'croft-keys-'))
  #count = 0

  async make(comment: string): Promise<KeyPair> {
    const path = join(await this.#folder, `key${this.#count++}`)
    await must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', comment, '-f', path])
    const publicPath = `${path}.pub`
    return { path, publicPath, publicKey: await readFile(publicPath, 'utf8') }
  }

  /**
   * Signs a key as a CA does; ssh finds the certificate beside it. @param principal the user that the certificate is
   * for
   */
  async sign(ca: KeyPair, key: KeyPair, principal: string): Promise<void> {
    await must('ssh-keygen', ['-q', '-s', ca.path, '-I', 'test', '-n', principal, key.publicPath])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(await this.#folder, { recursive: true, force: true })
  }
}
