import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Libvirt, openLibvirt } from '../../daemon/adapters/libvirt/index.ts'
import { hear, isRunning, PrivateLibvirtd, until } from './libvirt-fixtures.ts'

let libvirtd: PrivateLibvirtd
let libvirt: Libvirt

beforeEach(async () => {
  libvirtd = new PrivateLibvirtd()
  await libvirtd.start()
  libvirt = openLibvirt({ uri: libvirtd.uri })
  await hear(libvirt).next(({ type }) => type === 'connected')
  await libvirt.call.version()
})
afterEach(async () => {
  await libvirt.close()
  await libvirtd.remove()
})

const elapsed = async (promise: Promise<unknown>) => {
  const start = performance.now()
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return { ms: performance.now() - start, error }
}
const unavailable = expect.objectContaining({ code: 'unavailable' })

describe('a libvirtd that hangs', () => {
  it('fails the calls under way within 5 s and new ones at once, and is used again when it answers', async () => {
    const heard = hear(libvirt)
    libvirtd.signal('SIGSTOP')
    const underWay = await elapsed(libvirt.call.nodeInfo())
    expect(underWay).toEqual({ ms: expect.any(Number), error: unavailable })
    expect(underWay.ms).toBeLessThan(5000)
    const fresh = await elapsed(libvirt.call.nodeInfo())
    expect(fresh.error).toEqual(unavailable)
    expect(fresh.ms).toBeLessThan(50)

    libvirtd.signal('SIGCONT')
    const back = await until(() => libvirt.status().connected)
    console.log(`hung: noticed after ${Math.round(underWay.ms)} ms; back ${Math.round(back)} ms after it answers again`)
    expect(await libvirt.call.domainList()).toHaveLength(1)
    expect(heard.events.map(({ type }) => type)).toEqual(['connected', 'disconnected', 'connected'])
  })

  it('is noticed when it hung before the first connection, too', async () => {
    libvirtd.signal('SIGSTOP')
    const second = openLibvirt({ uri: libvirtd.uri })
    try {
      const { ms, error } = await elapsed(second.call.version())
      expect(error).toEqual(unavailable)
      expect(ms).toBeLessThan(5000)
      libvirtd.signal('SIGCONT')
      await until(() => second.status().connected)
      expect(await second.call.version()).toMatchObject({ hypervisor: 'TEST' })
    } finally {
      await second.close()
    }
  })
})

describe('a libvirtd that is restarted', () => {
  it('fails calls while it is gone, and is used again when it is back', async () => {
    const heard = hear(libvirt)
    await libvirtd.kill()
    const noticed = await until(() => !libvirt.status().connected)
    expect((await elapsed(libvirt.call.nodeInfo())).error).toEqual(unavailable)
    await libvirtd.start()
    const back = await until(() => libvirt.status().connected)
    console.log(`restarted: noticed after ${Math.round(noticed)} ms, back after ${Math.round(back)} ms`)
    expect(back).toBeLessThan(5000)
    expect(await libvirt.call.domainList()).toHaveLength(1)
    expect(heard.events.map(({ type }) => type)).toEqual(['connected', 'disconnected', 'connected'])
  })
})

describe('a bridge child that hangs', () => {
  it('amid a call is ended at the deadline, and the next call has a new one', async () => {
    const { pid } = libvirt.status().children.find(({ role }) => role === 'calls')!
    process.kill(pid!, 'SIGSTOP')
    await expect(libvirt.call.nodeInfo({ timeoutMs: 500 })).rejects.toMatchObject({ code: 'timed-out' })
    const { ms } = await elapsed(libvirt.call.nodeInfo())
    console.log(`calls child hung: next call answered after ${Math.round(ms)} ms`)
    expect(ms).toBeLessThan(2000)
    await until(() => !isRunning(pid))
  })

  it('that watches is replaced within 5 s', async () => {
    const heard = hear(libvirt)
    const { pid } = libvirt.status().children[0]!
    process.kill(pid!, 'SIGSTOP')
    const noticed = await until(() => heard.events.some(({ type }) => type === 'disconnected'))
    expect(noticed).toBeLessThan(5000)
    await until(() => libvirt.status().connected)
    expect(isRunning(pid)).toBe(false)
  })
})

describe('a parent killed by SIGKILL', () => {
  const parent = fileURLToPath(new URL('./libvirt-parent.ts', import.meta.url))

  const start = async (): Promise<{ process: ChildProcess; pids: number[] }> => {
    const child = spawn(process.execPath, [parent, libvirtd.uri], { stdio: ['ignore', 'pipe', 'inherit'] })
    const [line] = await once(child.stdout!, 'data')
    return { process: child, pids: JSON.parse(String(line)) as number[] }
  }

  it('leaves no child', async () => {
    const { process, pids } = await start()
    expect(pids.filter(isRunning)).toHaveLength(2)
    process.kill('SIGKILL')
    await until(() => !pids.some(isRunning))
  })

  it('leaves no child, even one blocked in libvirt', async () => {
    const { process, pids } = await start()
    libvirtd.signal('SIGSTOP')
    await expect(libvirt.call.nodeInfo({ timeoutMs: 500 })).rejects.toMatchObject({ code: 'timed-out' })
    process.kill('SIGKILL')
    const ms = await until(() => !pids.some(isRunning))
    console.log(`orphans ended after ${Math.round(ms)} ms`)
    libvirtd.signal('SIGCONT')
  })
})
