import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { expect, test, vi } from 'vitest'
import { startCroft } from '../lib/croft.ts'
import { must } from '../lib/program.ts'

test('libvirtd restarted under the daemon: it says so, reconnects, and the VM runs on', async () => {
  await using croft = await startCroft({ image: 'bare' })
  await croft.do('new', 'steady')
  const bootId = () => croft.do('exec', 'steady', 'cat /proc/sys/kernel/random/boot_id')
  const boot = await bootId()
  using events = await croft.events()
  await events.until((event) => event.event === 'state')
  await restartLibvirtd()
  await events.until((event) => event.type === 'box.libvirt' && !event.connected, 10_000)
  await events.until((event) => event.type === 'box.libvirt' && event.connected, 30_000)
  expect(await croft.do('ls', '-q', '--state', 'awake')).toBe('steady\n')
  expect(await bootId()).toBe(boot)
  await croft.do('new', 'after', '--stopped')
  await croft.do('rm', 'after', '--yes')
})

async function restartLibvirtd(): Promise<void> {
  if (existsSync('/run/systemd/system')) {
    await must('systemctl', ['restart', 'libvirtd'])
    return
  }
  const pid = Number(await readFile('/run/libvirtd.pid', 'utf8'))
  process.kill(pid, 'SIGTERM')
  await vi.waitFor(() => expect(existsSync(`/proc/${pid}`)).toBe(false), { timeout: 20_000 })
  // As tests/run starts it.
  spawn('tini', ['-s', '--', 'libvirtd'], { detached: true, stdio: 'ignore' }).unref()
}
