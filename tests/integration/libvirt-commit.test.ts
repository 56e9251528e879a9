import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { commitBlocks, reopenReadOnly } from '../../daemon/adapters/libvirt/block-job.ts'
import { type Libvirt, VIR } from '../../daemon/adapters/libvirt/index.ts'
import { must } from '../lib/program.ts'
import { openForTinyDomains, removeTinyDomains, tinyDomain } from './libvirt-fixtures.ts'

/** Commits of layers of a running domain's disk, by libvirt and QEMU. */
let libvirt: Libvirt
beforeAll(async () => {
  libvirt = await openForTinyDomains()
})
afterAll(() => libvirt.close())

let folder: string
let uuid: string
const file = (name: string) => join(folder, `${name}.qcow2`)
/** A disk on two layers, with much in each. */
beforeEach(async () => {
  folder = mkdtempSync('/var/tmp/croft-itest-')
  chmodSync(folder, 0o711)
  const create = ['create', '-q', '-f', 'qcow2']
  await must('qemu-img', [...create, file('low'), '1G'])
  await must('qemu-img', [...create, '-b', 'low.qcow2', '-F', 'qcow2', file('middle')])
  await must('qemu-img', [...create, '-b', 'middle.qcow2', '-F', 'qcow2', file('disk')])
  for (const name of ['middle', 'disk']) await must('qemu-io', ['-c', 'write -q -P 7 0 400M', file(name)])
  uuid = await libvirt.call.domainDefine(tinyDomain('commit', file('disk')))
  await libvirt.call.domainStart(uuid)
})
afterEach(async () => {
  await removeTinyDomains(libvirt)
  rmSync(folder, { recursive: true })
})

/** The layers that QEMU may write. A layer's file is given with all layers beneath it, itself last. */
async function written(): Promise<string[]> {
  const answer = await libvirt.call.domainMonitorCommand(uuid, '{"execute":"query-named-block-nodes"}')
  const nodes = JSON.parse(answer).return as { drv: string; file: string; ro: boolean }[]
  return nodes.filter(({ drv, ro }) => drv === 'qcow2' && !ro).map(({ file }) => /(\w+)\.qcow2[^/]*$/.exec(file)![1]!)
}

describe.each([0, 20, 100])('a commit that is ended %i ms after its begin', (afterMs) => {
  const end = () => AbortSignal.timeout(afterMs)

  it('of a frozen layer, leaves all as it was', async () => {
    const commit = { top: file('middle'), base: file('low'), isDisk: false }
    await expect(commitBlocks(libvirt, uuid, commit, end())).rejects.toMatchObject({ code: 'cancelled' })
    expect(await written()).toEqual(['disk'])
  })

  it('of the disk, leaves its layer open for writing at most, and can be done again', async () => {
    const commit = { top: file('disk'), base: file('middle'), isDisk: true }
    await expect(commitBlocks(libvirt, uuid, commit, end())).rejects.toMatchObject({ code: 'cancelled' })
    await reopenReadOnly(libvirt, uuid, file('middle'), file('low'))
    expect(await written()).toEqual(['disk'])
    await commitBlocks(libvirt, uuid, commit)
    expect(await written()).toEqual(['middle'])
  })
})

it('one of the disk that is ended when it is all but over happens or does not', async () => {
  const commit = { top: file('disk'), base: file('middle'), isDisk: true }
  const ready = new AbortController()
  const unhear = libvirt.onEvent((event) => {
    if (event.type === 'block-job' && event.status === 'ready') ready.abort()
  })
  const how = await commitBlocks(libvirt, uuid, commit, ready.signal).then(
    () => 'completed',
    ({ code }) => code,
  )
  unhear()
  if (how === 'cancelled') await reopenReadOnly(libvirt, uuid, file('middle'), file('low'))
  expect([how, await written()]).toEqual(how === 'completed' ? ['completed', ['middle']] : ['cancelled', ['disk']])
})

it('one that ended before its time leaves its layer open for writing, until that is opened anew for reading', async () => {
  const { call } = libvirt
  await call.domainBlockCommit(uuid, 'vda', file('middle'), file('disk'), 0, VIR.DOMAIN_BLOCK_COMMIT_ACTIVE)
  await call.domainBlockJobAbort(uuid, 'vda')
  await vi.waitFor(async () => expect((await written()).sort()).toEqual(['disk', 'middle']))
  for (let i = 0; i < 2; i++) {
    await reopenReadOnly(libvirt, uuid, file('middle'), file('low'))
    expect(await written()).toEqual(['disk'])
  }
  await commitBlocks(libvirt, uuid, { top: file('disk'), base: file('middle'), isDisk: true })
  expect(await written()).toEqual(['middle'])
})
