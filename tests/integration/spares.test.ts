import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { faultPoints } from '../../daemon/core/operation/registry.ts'
import type { Vm } from '../../daemon/store/index.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { deep, sample } from '../lib/deep.ts'
import { must } from '../lib/program.ts'
import { qemuPid } from '../lib/qemu.ts'

/** A VM that is loaded before anybody asks for it. */
let croft: Croft
beforeAll(async () => {
  croft = await startCroft({ image: 'bare', config: { spares: 1 } })
}, 600_000)
afterAll(() => croft?.[Symbol.asyncDispose]())

/** Returns the waiting spare, once there is exactly one. */
async function theSpare(): Promise<Vm> {
  return vi.waitFor(
    async () => {
      const { vms, operations } = await croft.state()
      expect(operations).toEqual({})
      const spares = Object.values(vms).filter((vm) => vm.phase === 'spare')
      expect(spares).toHaveLength(1)
      return spares[0]!
    },
    { timeout: 60_000, interval: 200 },
  )
}
const recordOf = async (name: string) => Object.values((await croft.state()).vms).find((vm) => vm.name === name)

test('waits where nobody sees it, and does not run', async () => {
  const spare = await theSpare()
  expect(await croft.do('ls', '-q')).toBe('')
  // Nor is it counted.
  expect((await croft.ask('image-ls')).images).toMatchObject([{ name: 'bare', vms: 0 }])
  expect((await croft.ask('stat')).vms).toMatchObject({ paused: 0, stopped: 0 })
  expect(await croft.run(['show', spare.id])).toMatchObject({ code: 3 })
  expect(await must('virsh', ['-q', 'domstate', `croft-${spare.id}`])).toBe('paused\n')
})

test('becomes the next VM, with all that was asked for', async () => {
  const spare = await theSpare()
  await croft.do('new', 'web', '--env', 'GREETING=hello', '--disk', '80G', '--tag', 'shop')
  const vm = await recordOf('web')
  expect(vm).toMatchObject({ id: spare.id, ip: spare.ip, phase: 'ready', power: 'on', tags: ['shop'] })
  const said = await croft.do(
    'exec',
    'web',
    'hostname; echo $GREETING; df --output=size -BG / | tail -1 | tr -dc 0-9; id -un',
  )
  expect(said).toMatch(/^web\nhello\n7\ddev\n$/)
  expect(Math.abs(Number(await croft.do('exec', 'web', 'date +%s')) - Date.now() / 1000)).toBeLessThan(3)
  expect(await must('virsh', ['dumpxml', '--inactive', `croft-${vm!.id}`])).toContain('<title>web</title>')
  const next = await theSpare()
  expect(next.id).not.toBe(spare.id)
})

test('is left alone by a VM of other hardware, and by a name that is taken', async () => {
  const spare = await theSpare()
  expect(await croft.run(['new', 'web'])).toMatchObject({ code: 1, stderr: expect.stringContaining('called web') })
  await croft.do('new', 'off', '--stopped')
  expect((await theSpare()).id).toBe(spare.id)
  await croft.do('rm', 'off', '--yes')
})

test('outlives the daemon', async () => {
  const spare = await theSpare()
  await croft.kill()
  await croft.start()
  await croft.do('new', 'after')
  expect((await recordOf('after'))!.id).toBe(spare.id)
  await croft.do('rm', 'after', '--yes')
})

test.runIf(deep)('whose QEMU has ended is replaced, and a VM is made without it', async () => {
  const spare = await theSpare()
  process.kill(await qemuPid(spare), 'SIGKILL')
  await croft.do('new', 'without')
  expect((await recordOf('without'))!.id).not.toBe(spare.id)
  expect((await theSpare()).id).not.toBe(spare.id)
  await croft.do('rm', 'without', '--yes')
})

describe('cut off', () => {
  const points = (kind: string) => faultPoints.filter((point) => point.startsWith(`${kind}.`))
  const nothingIsLeft = async () => {
    await theSpare()
    const { vms, layers } = await croft.state()
    expect((await readdir(join(croft.folder, 'vms'))).sort()).toEqual(Object.keys(vms).sort())
    expect(await readdir(join(croft.folder, 'layers'))).toHaveLength(Object.keys(layers).length)
  }

  test.each(sample(points('claim')))('at %s, the VM has never been', async (point) => {
    await theSpare()
    await croft.kill('SIGTERM')
    await croft.start({ CROFT_FAULT: point })
    expect(await croft.run(['new', 'cut'], { timeoutMs: 20_000 })).toMatchObject({ code: 5 })
    await croft.ended
    await croft.start()
    expect(await recordOf('cut')).toBeUndefined()
    await nothingIsLeft()
  })

  test.each(sample(points('spare'), 'spare.pause'))('at %s, there is a whole one afterwards', async (point) => {
    const spare = await theSpare()
    await croft.kill('SIGTERM')
    process.kill(await qemuPid(spare), 'SIGKILL')
    await croft.start({ CROFT_FAULT: point })
    await croft.ended
    await croft.start()
    await nothingIsLeft()
  })
})
