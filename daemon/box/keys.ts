import { CroftError } from '../error.ts'
import type { Key, State } from '../store/index.ts'
import { makeReady } from './boot.ts'
import { type Box, stateOf, without } from './box.ts'
import { closest } from './name.ts'

/** Key types that may enter: what OpenSSH makes today, with security keys; RSA from 2048 bits. */
const types =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)$/

/**
 * Adds the public keys in a text such as an authorized_keys or .pub file. All of them or none; one that is there
 * already stays as it is.
 * @param name what to call it; only for a text with one key
 * @throws CroftError `bad-value` for a line that is no key, `misuse` for a private key
 */
export async function addKey(box: Box, text: string, name?: string): Promise<Key[]> {
  if (/PRIVATE KEY/.test(text)) {
    throw new CroftError('misuse', 'That is a private key. It stays with you.', {
      hint: 'Add its public half: the file that ends in .pub',
    })
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'))
  if (lines.length === 0) throw new CroftError('bad-value', 'There is no key in it.')
  if (name && lines.length > 1) throw new CroftError('misuse', 'There are several keys in it; a name is for one.')
  const keys = await Promise.all(lines.map((line) => readKey(box, line, name)))
  await box.store.update((state) => ({
    ...state,
    keys: { ...Object.fromEntries(keys.map((key) => [key.fingerprint, key])), ...state.keys },
  }))
  for (const key of keys) box.events.publish({ type: 'key.new', key: key.fingerprint })
  tellGuests(box)
  return keys.map((key) => box.store.state.keys[key.fingerprint]!)
}

async function readKey(box: Box, line: string, name: string | undefined): Promise<Key> {
  const words = line.split(/\s+/)
  const at = words.findIndex((word) => types.test(word))
  const [type, blob, ...comment] = at < 0 ? [] : words.slice(at)
  const bad = (why: string) =>
    new CroftError('bad-value', `${JSON.stringify(`${line.slice(0, 30)}…`)} is not a key that may enter: ${why}.`, {
      hint: 'Give the content of a .pub file: ed25519, ECDSA, RSA from 2048 bits, or a security key.',
    })
  if (!type || !blob) throw bad('it has no known type')
  if (at > 0) throw bad('options before the key are not supported')
  const key = await box.inspectKey(`${type} ${blob}`)
  if (!key) throw bad('ssh-keygen can not read it')
  if (type === 'ssh-rsa' && key.bits < 2048) throw bad(`an RSA key of ${key.bits} bits is too short`)
  const fromComment = comment
    .join('-')
    .replace(/[^A-Za-z0-9@._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64)
  return {
    fingerprint: key.fingerprint,
    name: name ?? (fromComment || key.fingerprint.slice(7, 15)),
    publicKey: `${type} ${blob}`,
    vm: null,
    tag: null,
    authority: false,
    createdAt: new Date().toISOString(),
  }
}

/** @throws CroftError `not-found` */
export function findKey(state: State, name: string): Key {
  const keys = Object.values(state.keys)
  const key = state.keys[name] ?? keys.find((each) => each.name === name)
  if (key) return key
  const meant = closest(
    name,
    keys.map((each) => each.name),
  )
  throw new CroftError('not-found', `No key called ${JSON.stringify(name.slice(0, 60))}.`, {
    hint: meant ? `Did you mean ${meant}?` : 'croft key ls shows them all.',
  })
}

export async function removeKey(box: Box, name: string): Promise<Key> {
  const key = findKey(box.store.state, name)
  await box.store.update((state) => ({ ...state, keys: without(state.keys, key.fingerprint) }))
  box.events.publish({ type: 'key.removed', key: key.fingerprint })
  tellGuests(box)
  return key
}

/** Awake guests learn at once, in the background; the others at their next start. */
function tellGuests(box: Box): void {
  for (const vm of Object.values(box.store.state.vms)) {
    if (stateOf(box, vm) !== 'awake') continue
    makeReady(box, vm, false).catch((err) =>
      box.log.warn({ vm: vm.id, err }, 'learns of the changed keys at its next start'),
    )
  }
}
