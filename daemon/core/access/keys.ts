import { CroftError } from '../../lib/error.ts'
import type { Key, State, Vm } from '../../store/index.ts'
import { type Box, findVm, stateOf, without } from '../box.ts'
import { makeReady } from '../vm/boot.ts'
import { closest } from '../vm/name.ts'
import { isUp } from '../vm/state.ts'
import { covers, type Limit } from './limit.ts'

export { authorizedLine, keysOf } from './limit.ts'

/** Accepted key types: those OpenSSH makes today, including security keys; RSA from 2048 bits. */
const types =
  /^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-ssh-ed25519@openssh\.com|sk-ecdsa-sha2-nistp256@openssh\.com)$/

/** Options for adding keys. */
export interface Addition {
  /** The key's name; only for a text with one key. */
  name?: string | undefined
  /** Name of the one VM that the keys may enter. */
  vm?: string | undefined
  /** Tag of the VMs that the keys may enter. */
  tag?: string | undefined
  /** Whether the keys belong to certificate authorities. */
  authority?: boolean | undefined
}

/**
 * Adds the public keys in a text such as an authorized_keys or .pub file: all of them or none. An existing key stays
 * as it is.
 * @param text `gh:` and a name stand for the keys of that GitHub user
 * @throws CroftError `bad-value` for a line that is not a key, `misuse` for a private key, `conflict` for a name that
 * is taken and for an existing key with other limits
 */
export async function addKey(box: Box, text: string, addition: Addition = {}): Promise<Key[]> {
  if (addition.vm !== undefined && addition.tag !== undefined)
    throw new CroftError('misuse', 'A key is limited to a VM or to a tag, not to both.', { argument: 'tag' })
  const user = userIn(text)
  const lines = linesOf(user === undefined ? text : await box.publicKeys.published(user))
  if (addition.name && lines.length > 1)
    throw new CroftError('misuse', 'The text has several keys; a name is for a single key.', { argument: 'name' })
  const read = await Promise.all(lines.map((line) => readKey(box, line, user)))
  await box.store.update((state) => withKeys(state, read, addition))
  const keys = read.map(({ fingerprint }) => box.store.state.keys[fingerprint]!)
  for (const key of keys) box.events.publish({ type: 'key.new', key: key.fingerprint })
  tellGuests(box, (vm) => keys.some((key) => covers(key, vm)))
  return keys
}

/** Returns the GitHub user that a text names; undefined when the text holds keys. */
function userIn(text: string): string | undefined {
  if (!text.startsWith('gh:')) return undefined
  const user = text.slice('gh:'.length).trim()
  if (/^[A-Za-z0-9-]{1,39}$/.test(user)) return user
  throw new CroftError('bad-value', `${JSON.stringify(user.slice(0, 40))} is not a GitHub user name.`, {
    hint: 'A GitHub name has 1 to 39 letters, digits and "-", as in: croft key add gh:octocat',
    argument: 'key',
  })
}

function linesOf(text: string): string[] {
  if (/PRIVATE KEY/.test(text)) {
    throw new CroftError('misuse', 'That is a private key. It stays with you.', {
      hint: 'Add the public key instead: the file that ends in .pub',
      argument: 'key',
    })
  }
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'))
  if (lines.length === 0) throw new CroftError('bad-value', 'The text has no key in it.', { argument: 'key' })
  return lines
}

type ReadKey = Pick<Key, 'fingerprint' | 'name' | 'publicKey'>

/** Parses and inspects one line. @param otherwise the key's name when its comment has none */
async function readKey(box: Box, line: string, otherwise: string | undefined): Promise<ReadKey> {
  const words = line.split(/\s+/)
  const at = words.findIndex((word) => types.test(word))
  const [type, blob, ...comment] = at < 0 ? [] : words.slice(at)
  const bad = (why: string) =>
    new CroftError('bad-value', `${JSON.stringify(`${line.slice(0, 30)}…`)} is not a key that Croft accepts: ${why}.`, {
      hint: 'Give the content of a .pub file: Ed25519, ECDSA, RSA from 2048 bits, or a security key.',
      argument: 'key',
    })
  if (!type || !blob) throw bad('it has no known type')
  if (at > 0) throw bad('options before the key are not supported')
  const key = await box.publicKeys.inspect(`${type} ${blob}`)
  if (!key) throw bad("ssh-keygen can't read it")
  if (type === 'ssh-rsa' && key.bits < 2048) throw bad(`an RSA key of ${key.bits} bits is too short`)
  const fromComment = comment
    .join('-')
    .replace(/[^A-Za-z0-9@._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 64)
  const name = fromComment || otherwise?.replace(/^-+/, '') || key.fingerprint.slice(7, 15)
  return { fingerprint: key.fingerprint, name, publicKey: `${type} ${blob}` }
}

/** Adds keys to the state. Pure but for the clock. @throws CroftError `conflict`, and `not-found` for the VM */
export function withKeys(state: State, read: readonly ReadKey[], { name, vm, tag, authority }: Addition): State {
  const limits = {
    vm: vm === undefined ? null : findVm(state, vm).id,
    tag: tag ?? null,
    authority: authority ?? false,
  }
  const keys = { ...state.keys }
  for (const { fingerprint, publicKey, ...key } of read) {
    const known = keys[fingerprint]
    if (known) {
      checkSame(state, known, limits)
      continue
    }
    if (name !== undefined) checkFree(keys, name)
    const createdAt = new Date().toISOString()
    keys[fingerprint] = { fingerprint, name: name ?? unused(keys, key.name), publicKey, ...limits, createdAt }
  }
  return { ...state, keys }
}

function checkSame(state: State, known: Key, wanted: Limit & Pick<Key, 'authority'>): void {
  if (known.vm === wanted.vm && known.tag === wanted.tag && known.authority === wanted.authority) return
  const kind = known.authority ? 'an authority' : 'a key'
  throw new CroftError('conflict', `${known.name} exists already, as ${kind} for ${whichVms(state, known)}.`, {
    hint: `To change its limits, remove it and add it again: croft key rm ${known.name}`,
  })
}

/** The VMs that a key may enter, in words. Pure. */
const whichVms = (state: State, { vm, tag }: Limit): string =>
  vm !== null
    ? `${state.vms[vm]?.name ?? vm} only`
    : tag !== null
      ? `VMs tagged ${JSON.stringify(tag)} only`
      : 'all VMs'

function checkFree(keys: Readonly<Record<string, Key>>, name: string): void {
  if (!Object.values(keys).some((key) => key.name === name)) return
  throw new CroftError('conflict', `There is already a key called ${JSON.stringify(name)}.`, {
    hint: `To rename the other key: croft key rename ${name} …`,
    argument: 'name',
  })
}

/** Returns a name like this one that no key has, with -2, -3, … if necessary. Pure. */
function unused(keys: Readonly<Record<string, Key>>, name: string): string {
  const taken = new Set(Object.values(keys).map((key) => key.name))
  if (!taken.has(name)) return name
  for (let count = 2; ; count++) {
    const numbered = `${name.slice(0, 56)}-${count}`
    if (!taken.has(numbered)) return numbered
  }
}

/** Finds a key. @param name its name or fingerprint @throws CroftError `not-found` */
export function findKey(state: State, name: string): Key {
  const keys = Object.values(state.keys)
  const key = keys.find((each) => each.fingerprint === name) ?? keys.find((each) => each.name === name)
  if (key) return key
  const meant = closest(
    name,
    keys.map((each) => each.name),
  )
  throw new CroftError('not-found', `No key called ${JSON.stringify(name.slice(0, 60))}.`, {
    hint: meant ? `Did you mean ${meant}?` : 'croft key ls shows them all.',
  })
}

/** Renames a key. @throws CroftError `not-found`, `conflict` when another key has the name */
export async function renameKey(box: Box, name: string, to: string): Promise<Key> {
  const { fingerprint } = findKey(box.store.state, name)
  await box.store.update((state) => {
    const key = findKey(state, fingerprint)
    if (key.name === to) return state
    checkFree(state.keys, to)
    return { ...state, keys: { ...state.keys, [fingerprint]: { ...key, name: to } } }
  })
  box.events.publish({ type: 'key.changed', key: fingerprint })
  return findKey(box.store.state, fingerprint)
}

export async function removeKey(box: Box, name: string): Promise<Key> {
  const key = findKey(box.store.state, name)
  await box.store.update((state) => ({ ...state, keys: without(state.keys, key.fingerprint) }))
  box.events.publish({ type: 'key.removed', key: key.fingerprint })
  tellGuests(box, (vm) => covers(key, vm))
  return key
}

/**
 * Tells awake guests their changed keys now, in the background. Those that doze learn them when they go on, others at
 * their next start.
 */
export function tellGuests(box: Box, which: (vm: Vm) => boolean): void {
  for (const vm of Object.values(box.store.state.vms)) {
    if (!which(vm) || !isUp(stateOf(box, vm))) continue
    makeReady(box, vm, false).catch((err) =>
      box.log.warn({ vm: vm.id, err }, 'could not be told the changed keys; it learns them at its next start'),
    )
  }
}
