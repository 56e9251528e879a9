import { existsSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { type Libvirt, LibvirtError, type LibvirtEvent, type LibvirtOptions, openLibvirt, VIR } from './index.ts'

/** The test driver lives inside each child, so a test that changes something must use a single child. */
const uri = 'test:///default'
const testDomain = '6695eb01-f6a4-8304-79aa-97f2502e193f'
const nobody = '00000000-0000-0000-0000-000000000000'

let libvirt: Libvirt
const open = (options: Partial<LibvirtOptions> = {}): Libvirt => {
  libvirt = openLibvirt({ uri, maxCalls: 1, ...options })
  return libvirt
}
afterEach(() => libvirt.close())

const callsChild = () => libvirt.status().children.find(({ role }) => role === 'calls')!

function nextEvent<T extends LibvirtEvent['type']>(type: T): Promise<LibvirtEvent & { type: T }> {
  return new Promise((resolve) => {
    const stop = libvirt.onEvent((event) => {
      if (event.type !== type) return
      stop()
      resolve(event as LibvirtEvent & { type: T })
    })
  })
}

describe('a call', () => {
  it('answers with plain values', async () => {
    const { call } = open()
    expect(await call.version()).toMatchObject({ hypervisor: 'TEST' })
    expect(await call.domainList()).toEqual([
      { uuid: testDomain, name: 'test', id: 1, state: 'running', reason: 'unknown' },
    ])
    expect(await call.nodeInfo()).toMatchObject({ cpus: 16, memoryKiB: 3145728, model: 'i686' })
    expect(await call.networkList()).toMatchObject([{ name: 'default', active: true }])
    expect(await call.domainStatsOfAll(VIR.DOMAIN_STATS_STATE)).toEqual({
      [testDomain]: { 'state.state': 1, 'state.reason': 0 },
    })
  })

  it('takes a domain through its life cycle', async () => {
    const { call } = open()
    const uuid = await call.domainDefine(
      '<domain type="test"><name>grüner-otter</name><memory>8192</memory><os><type>hvm</type></os></domain>',
    )
    expect(await call.domainXml(uuid)).toContain('<name>grüner-otter</name>')
    expect(await call.domainList()).toContainEqual(
      expect.objectContaining({ uuid, name: 'grüner-otter', id: null, state: 'shut-off' }),
    )
    await call.domainStart(uuid, undefined, { timeoutMs: 5000 })
    await call.domainSuspend(uuid)
    expect(await call.domainState(uuid)).toMatchObject({ state: 'paused' })
    await call.domainResume(uuid)
    await call.domainDestroy(uuid)
    expect(await call.domainState(uuid)).toEqual({ state: 'shut-off', reason: 'destroyed' })
    await call.domainUndefine(uuid)
    await expect(call.domainState(uuid)).rejects.toMatchObject({ codeName: 'NO_DOMAIN' })
  })

  it('distinguishes our bugs from failures of libvirt', async () => {
    await expect(open().call.domainXml(5 as never)).rejects.toMatchObject({ code: 'internal' })
  })

  it('gives each concurrent caller its own error', async () => {
    const { call } = open({ maxCalls: 3 })
    const provoked: [Promise<unknown>, code: number, domain: number, message: RegExp][] = Array.from(
      { length: 40 },
      () => [
        [call.domainXml(nobody), 42, 12, /^Domain not found$/] as const,
        [call.domainXml('nonsense'), 8, 20, /^Invalid UUID$/] as const,
        [call.networkXml(nobody), 43, 12, /^Network not found: no network with matching uuid/] as const,
        [
          call.networkFindByName('nowhere'),
          43,
          12,
          /^Network not found: no network with matching name 'nowhere'$/,
        ] as const,
        [call.domainDefine('<domain'), 35, 20, /Couldn't find end of Start Tag domain/] as const,
        [call.domainDefine('<domain/>'), 21, 20, /^missing name information$/] as const,
        [call.domainStart(testDomain), 1, 12, /Domain 'test' is already running$/] as const,
        [call.domainAgentCommand(testDomain, '{}'), 3, 0, /virDomainQemuAgentCommand$/] as const,
        [call.domainSetMemory(testDomain, 1e9, 1), 8, 12, /cannot set memory higher than max memory$/] as const,
        [call.domainRestore('/nonexistent'), 38, 12, /^cannot read domain image '\/nonexistent'/] as const,
        [
          call.domainSnapshot(testDomain, '<nope/>'),
          27,
          5,
          /expecting root element of 'domainsnapshot', not 'nope'$/,
        ] as const,
        [call.domainResume(testDomain), 1, 12, /domain 'test' not paused$/] as const,
        [call.domainSave(testDomain, '/nonexistent/x'), 38, 12, /^saving domain 'test' to '\/nonexistent\/x'/] as const,
      ],
    ).flat() as never
    const errors = await Promise.all(provoked.map(([promise]) => promise.catch((error: unknown) => error)))
    for (const [i, [, code, domain, message]] of provoked.entries()) {
      expect(errors[i]).toBeInstanceOf(LibvirtError)
      expect(errors[i]).toMatchObject({ code, domain, level: 2, message: expect.stringMatching(message) })
    }
  })

  it('is answered in order', async () => {
    const { call } = open()
    const order: number[] = []
    await Promise.all(Array.from({ length: 50 }, (_, i) => call.isAlive().then(() => order.push(i))))
    expect(order).toEqual([...order].sort((a, b) => a - b))
  })

  it('can be cancelled while it waits', async () => {
    const { call } = open()
    const abort = new AbortController()
    const first = call.isAlive()
    const second = call.isAlive({ signal: abort.signal })
    abort.abort()
    await expect(second).rejects.toMatchObject({ code: 'cancelled' })
    await expect(call.isAlive({ signal: abort.signal })).rejects.toMatchObject({ code: 'cancelled' })
    expect(await first).toBe(true)
  })
})

describe('a bridge child', () => {
  it('that dies fails the call it had, and is replaced', async () => {
    const { call } = open()
    await call.isAlive()
    const { pid } = callsChild()
    const calls = Promise.allSettled(Array.from({ length: 200 }, () => call.nodeInfo()))
    process.kill(pid!, 'SIGKILL')
    const outcomes = await calls
    const failed = outcomes.filter(({ status }) => status === 'rejected')
    expect(failed).toHaveLength(1)
    expect(failed[0]).toMatchObject({ reason: { code: 'unavailable' } })
    expect(callsChild().pid).not.toBe(pid)
  })

  it('that has grown too large is replaced between two calls, and none is lost', async () => {
    const { call } = open({ recycleRssMiB: 1 })
    const pids = new Set<number | undefined>()
    for (let i = 0; i < 3; i++) {
      await call.nodeInfo()
      pids.add(callsChild().pid)
    }
    expect(pids.size).toBeGreaterThan(1)
  })

  it('for events that dies is reported, and reported again when it is back', async () => {
    open()
    await nextEvent('connected')
    const { pid } = libvirt.status().children[0]!
    const disconnected = nextEvent('disconnected')
    process.kill(pid!, 'SIGKILL')
    expect((await disconnected).reason).toContain('SIGKILL')
    await nextEvent('connected')
    expect(libvirt.status()).toMatchObject({ connected: true, reason: null })
  })

  it('does not outlive the connection', async () => {
    const { call } = open({ maxCalls: 2 })
    await call.isAlive()
    const pids = libvirt.status().children.map(({ pid }) => pid)
    expect(pids).toHaveLength(2)
    await libvirt.close()
    expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([])
    await expect(call.isAlive()).rejects.toMatchObject({ code: 'unavailable' })
  })
})

describe('libvirtd that is not there', () => {
  it('fails calls immediately, with the reason', async () => {
    open({ uri: 'test+unix:///default?socket=/nonexistent/libvirt-sock' })
    const early = libvirt.call.version().catch((error: unknown) => error)
    const { reason } = await nextEvent('disconnected')
    expect(reason).toContain('/nonexistent/libvirt-sock')
    await early
    await expect(libvirt.call.version()).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('/nonexistent/libvirt-sock'),
    })
    expect(libvirt.status()).toMatchObject({ connected: false, reason })
  })
})
