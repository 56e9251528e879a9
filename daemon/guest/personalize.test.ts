import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { personalizeScript } from './personalize.ts'
import { plainPieces, plainText } from './text.ts'

test('no value given to a guest can be taken for shell', () => {
  const nasty = `$(touch hacked) \`touch hacked\` "; touch hacked #'\\`
  const script = personalizeScript({
    name: nasty,
    machineId: nasty,
    hostKey: { private: nasty, public: nasty },
    authorizedKeys: [nasty],
    env: { A: nasty },
    network: { mac: '52:54:00:00:00:01', address: '10.77.0.2/16', gateway: '10.77.0.1' },
    booted: true,
    now: 1.5,
    entropy: nasty,
  })
  const folder = mkdtempSync(join(tmpdir(), 'croft-personalize-'))
  try {
    // Run for real, on files in the folder, with every program that touches the system replaced by one that does nothing.
    for (const path of ['dev', 'etc/ssh/sshd_config.d', 'proc/sys/kernel', 'run', 'sys/class/net/eth0'])
      mkdirSync(join(folder, path), { recursive: true })
    writeFileSync(join(folder, 'etc/hosts'), '127.0.0.1\tlocalhost\n127.0.1.1\told\n')
    const shims = ['date', 'systemctl', 'resize2fs', 'kill'].map((name) => `${name}() { :; }`)
    const ip = "ip() { echo '2: eth0    inet 10.77.0.2/16 brd 10.77.255.255'; }"
    const local = script.replaceAll(/(?<=[\s])\/(?=(?:dev|etc|proc|run|sys)\/)/g, `${folder}/`)
    const done = spawnSync('sh', ['-s'], { input: [...shims, ip, local].join('\n'), cwd: folder, encoding: 'utf8' })
    expect(done.stderr).toBe('')
    expect(readFileSync(join(folder, 'etc/hostname'), 'utf8')).toBe(`${nasty}\n`)
    expect(readFileSync(join(folder, 'etc/hosts'), 'utf8')).toBe(`127.0.0.1\tlocalhost\n127.0.1.1\t${nasty}\n`)
    expect(spawnSync('find', [folder], { encoding: 'utf8' }).stdout).not.toContain('hacked')
    const env = spawnSync('sh', ['-c', `. etc/croft/env; printf %s "$A"`], { cwd: folder, encoding: 'utf8' })
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

test('so is text that comes in pieces, wherever it is cut', () => {
  const text = 'a\u001b[31mred\u001b[0m\u001b]0;title\u0007b\u001bPq\u001b\\c'
  for (let cut = 0; cut <= text.length; cut++) {
    const plain = plainPieces()
    expect(plain(text.slice(0, cut)) + plain(text.slice(cut))).toBe('aredbc')
  }
})
