import { type ChildProcess, spawn } from 'node:child_process'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Libvirt, openLibvirt, VIR } from '../../daemon/adapters/libvirt/index.ts'
import { deep } from '../lib/deep.ts'
import { hear, PrivateLibvirtd } from './libvirt-fixtures.ts'

const total = deep ? 100_000 : 10_000
const testDomain = '6695eb01-f6a4-8304-79aa-97f2502e193f'
const recycleRssMiB = 130

const libvirtd = new PrivateLibvirtd()
let libvirt: Libvirt
/**
 * The test driver forgets everything when its last connection ends, which may happen while children are replaced. This
 * connection stays.
 */
let keeper: ChildProcess
beforeAll(async () => {
  await libvirtd.start()
  keeper = spawn('virsh', ['-q', '-c', libvirtd.uri, 'event', '--all', '--loop'], { stdio: 'ignore' })
  libvirt = openLibvirt({ uri: libvirtd.uri, recycleRssMiB, maxCalls: 2 })
  await hear(libvirt).next(({ type }) => type === 'connected')
})
afterAll(async () => {
  await libvirt?.close()
  keeper?.kill()
  await libvirtd.remove()
})

it(`${total} mixed calls and their events keep the memory bounded`, { timeout: 900_000 }, async () => {
  const { call } = libvirt
  const heard = hear(libvirt, ({ type }) => type === 'lifecycle' || type === 'connected')
  const pids = new Set<number | undefined>()
  const start = performance.now()
  let largest = 0
  let mostEvents = 0
  let done = 0
  let toggles = 0
  const rows: string[] = []

  const work = [
    () => call.domainList(),
    () => call.domainXml(testDomain),
    () => call.domainStatsOfAll(VIR.DOMAIN_STATS_STATE),
    () => expect(call.domainXml('00000000-0000-0000-0000-000000000000')).rejects.toMatchObject({ code: 42 }),
    () => call.nodeInfo(),
    () => expect(call.domainDefine('<domain')).rejects.toMatchObject({ code: 35 }),
    () => call.networkList(),
    () => call.capabilities(),
    async () => {
      toggles += 1
      await call.domainSuspend(testDomain)
    },
    () => call.domainResume(testDomain),
  ]
  while (done < total) {
    for (const one of work) await one()
    done += work.length
    if (done % 500 !== 0) continue
    const { children } = libvirt.status()
    for (const { role, rssMiB, pid } of children) {
      if (role === 'events') mostEvents = Math.max(mostEvents, rssMiB)
      else largest = Math.max(largest, rssMiB)
      if (role === 'calls') pids.add(pid)
    }
    if (done % (total / 10) === 0) {
      rows.push(`${done}: ${children.map(({ role, rssMiB }) => `${role} ${rssMiB} MiB`).join(', ')}`)
    }
  }
  const seconds = (performance.now() - start) / 1000
  console.log(`${total} calls in ${seconds.toFixed(1)} s, ${pids.size} calls children\n${rows.join('\n')}`)
  expect(largest).toBeLessThan(recycleRssMiB + 30)
  expect(mostEvents).toBeLessThan(200)
  // The events child is also replaced when it has grown. Events at that moment are lost, which `connected` announces.
  await call.domainSuspend(testDomain)
  await call.domainResume(testDomain)
  await heard.next((event) => event.type === 'lifecycle' && event.event === 'resumed')
  const words = heard.events.map((event) => ('event' in event ? event.event : event.type))
  const told = words.filter((word) => word === 'suspended' || word === 'resumed')
  const gaps = words.length - told.length
  expect(told.length).toBeGreaterThanOrEqual(2 * toggles - gaps * 50)
  for (const run of words.join(' ').split('connected')) {
    expect(run.trim()).toMatch(/^(resumed )?(suspended resumed ?)*(suspended)?$/)
  }
})
