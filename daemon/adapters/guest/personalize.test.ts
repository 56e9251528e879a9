import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { plainPieces, plainText } from '../../lib/text/plain-text.ts'
import { type Personality, personalizeScript } from './personalize.ts'

/** A folder that stands in for a guest's file system. */
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'croft-personalize-'))
  for (const path of ['dev', 'etc/ssh/sshd_config.d', 'proc/sys/kernel', 'run', 'sys/class/net/eth0'])
    mkdirSync(join(root, path), { recursive: true })
  write('etc/hosts', '127.0.0.1\tlocalhost\n127.0.1.1\told\n')
  write('etc/hostname', 'old\n')
  write('proc/sys/kernel/hostname', 'old\n')
})
afterEach(() => rmSync(root, { recursive: true }))
const write = (path: string, text: string) => writeFileSync(join(root, path), text)
const read = (path: string) => readFileSync(join(root, path), 'utf8')

/**
 * Runs the script on files in the folder, with every program that touches the system replaced by one that does nothing.
 * @returns the names of failed steps, without the folder's path
 */
function tell(change: Partial<Personality> = {}): string {
  const script = personalizeScript({
    name: 'web',
    machineId: '0'.repeat(32),
    hostKey: { private: 'private\n', public: 'public\n' },
    authorizedKeys: [],
    env: {},
    network: { mac: '52:54:00:00:00:01', address: '10.77.0.2/16', gateway: '10.77.0.1' },
    booted: true,
    now: 1.5,
    entropy: '00',
    ...change,
  })
  const shims = ['date', 'systemctl', 'resize2fs', 'kill', 'mount', 'perl', 'ss'].map((name) => `${name}() { :; }`)
  const ip = `ip() { case "$*" in *show*) echo '2: eth0    inet 10.77.0.2/16 brd 10.77.255.255' ;; esac; }`
  const local = script.replaceAll(/(?<=[\s])\/(?=(?:dev|etc|proc|run|sys)\/)/g, `${root}/`)
  const done = spawnSync('sh', ['-s'], { input: [...shims, ip, local].join('\n'), cwd: root, encoding: 'utf8' })
  expect([done.status, done.stderr]).toEqual([0, ''])
  return done.stdout.replaceAll(`${root}/`, '/')
}

test('the guest’s shell interprets no value', () => {
  const nasty = `$(touch hacked) \`touch hacked\` "; touch hacked #'\\`
  const all = { name: nasty, machineId: nasty, hostKey: { private: nasty, public: nasty }, authorizedKeys: [nasty] }
  expect(tell({ ...all, env: { A: nasty }, entropy: nasty })).toBe('')
  expect(read('etc/hostname')).toBe(`${nasty}\n`)
  expect(read('etc/hosts')).toBe(`127.0.0.1\tlocalhost\n127.0.1.1\t${nasty}\n`)
  expect(spawnSync('find', [root], { encoding: 'utf8' }).stdout).not.toContain('hacked')
  const env = spawnSync('sh', ['-c', `. etc/croft/env; printf %s "$A"`], { cwd: root, encoding: 'utf8' })
  expect(env.stdout).toBe(nasty)
})

test.each([
  ['a last line without its end', '127.0.1.1\told\n10.0.0.1 mine', '127.0.1.1\tweb\n10.0.0.1 mine\n'],
  ['the user’s names beside ours', '127.0.1.1 old db db.lan # mine\n', '127.0.1.1\tweb db db.lan # mine\n'],
  ['the user’s names instead of ours', '127.0.1.1 db\n', '127.0.1.1 db\n127.0.1.1\tweb\n'],
  ['nothing', '', '127.0.1.1\tweb\n'],
  ['wildcards and backslashes', '10.0.0.1 * \\\\n\n127.0.1.1 old *\n', '10.0.0.1 * \\\\n\n127.0.1.1\tweb *\n'],
])('only our name changes in an /etc/hosts that has %s', (_, before, after) => {
  write('etc/hosts', before)
  for (const booted of [true, false]) expect(tell({ booted })).toBe('')
  expect(read('etc/hosts')).toBe(after)
})

test.each([true, false])('a host name that the user has set stays (booted: %s)', (booted) => {
  tell()
  expect([read('etc/hostname'), read('proc/sys/kernel/hostname')]).toEqual(['web\n', 'web'])
  write('etc/hostname', 'db\n')
  write('proc/sys/kernel/hostname', 'db\n')
  expect(tell({ name: 'shop', booted })).toBe('')
  expect([read('etc/hostname'), read('proc/sys/kernel/hostname')]).toEqual(['db\n', 'db\n'])
  write('etc/hostname', 'shop\n')
  expect(tell({ name: 'fork' })).toBe('')
  expect([read('etc/hostname'), read('proc/sys/kernel/hostname')]).toEqual(['fork\n', 'fork'])
})

test('a step that fails is named, and all others are done', () => {
  for (const path of ['etc/hostname', 'etc/hosts']) rmSync(join(root, path))
  mkdirSync(join(root, 'etc/hostname'))
  rmSync(join(root, 'etc/ssh/sshd_config.d'), { recursive: true })
  expect(tell({ authorizedKeys: ['ssh-ed25519 A'] })).toBe(' /etc/hostname /etc/ssh/sshd_config.d/05-croft.conf')
  expect(read('etc/ssh/croft_authorized_keys')).toBe('ssh-ed25519 A\n')
  expect([read('etc/hosts'), read('proc/sys/kernel/hostname')]).toEqual(['127.0.1.1\tweb\n', 'web'])
})

test('text from a guest is printed without terminal control sequences', () => {
  expect(plainText('a\u001b[31mred\u001b[0m\u001b]0;title\u0007b\u001bPq\u001b\\c\r\nd\u0007\u009b\u202ee\tf')).toBe(
    'ared' + 'bc\nde\tf',
  )
})

test('so is text that comes in pieces, wherever it is split', () => {
  const text = 'a\u001b[31mred\u001b[0m\u001b]0;title\u0007b\u001bPq\u001b\\c'
  for (let cut = 0; cut <= text.length; cut++) {
    const plain = plainPieces()
    expect(plain(text.slice(0, cut)) + plain(text.slice(cut))).toBe('aredbc')
  }
})
