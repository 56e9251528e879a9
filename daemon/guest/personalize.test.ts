import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { personalizeScript } from './personalize.ts'
import { plainText } from './text.ts'

test('no value given to a guest can be taken for shell', () => {
  const nasty = `$(touch hacked) \`touch hacked\` "; touch hacked #'\\`
  const script = personalizeScript({
    name: nasty,
    machineId: nasty,
    hostKey: { private: nasty, public: nasty },
    authorizedKeys: [nasty],
    env: { A: nasty },
    now: 1.5,
  })
  const folder = mkdtempSync(join(tmpdir(), 'croft-personalize-'))
  try {
    // Run for real, with every program that touches the system replaced by one that does nothing.
    const shims = ['date', 'hostname', 'sed', 'sshd', 'systemctl', 'resize2fs', 'mkdir']
      .map((name) => `${name}() { :; }`)
      .join('\n')
    const local = script
      .replaceAll(/(put|>>) \/etc\//g, `$1 ${folder}/`)
      .replace(`${folder}/ssh/sshd_config.d/`, `${folder}/`)
      .replaceAll(`${folder}/ssh/`, `${folder}/`)
      .replaceAll(`${folder}/croft/`, `${folder}/`)
    const done = spawnSync('sh', ['-s'], { input: `${shims}\n${local}`, cwd: folder, encoding: 'utf8' })
    expect(done.stderr).toBe('')
    expect(readFileSync(join(folder, 'hostname'), 'utf8')).toBe(`${nasty}\n`)
    expect(spawnSync('ls', [folder], { encoding: 'utf8' }).stdout).not.toContain('hacked')
    const env = spawnSync('sh', ['-c', `. ./env; printf %s "$A"`], { cwd: folder, encoding: 'utf8' })
    expect(env.stdout).toBe(nasty)
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('text from a guest is printed without what could steer a terminal', () => {
  expect(plainText('a\u001b[31mred\u001b[0m\u001b]0;title\u0007b\u001bPq\u001b\\c\r\nd\u0007\u009b\u202ee\tf')).toBe(
    'ared' + 'bc\nde\tf',
  )
})
