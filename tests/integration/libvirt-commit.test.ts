import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest'
import { commitBlocks, reopenReadOnly } from '../../daemon/libvirt/block-job.ts'
import { type Libvirt, VIR } from '../../daemon/libvirt/index.ts'
import { must } from '../lib/program.ts'
import { hear, openForTinyDomains, removeTinyDomains, tinyDomain } from './libvirt-fixtures.ts'

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

/** The layers that QEMU may write; the file of one is told with all that is beneath it, itself last. */
async function written(): Promise<string[]> {
  const answer = await libvirt.call.domainMonitorCommand(uuid, '{"execute":"query-named-block-nodes"}')
  const nodes = JSON.parse(answer).return as { drv: string; file: string; ro: boolean }[]
  return nodes.filter(({ drv, ro }) => drv === 'qcow2' && !ro).map(({ file }) => /(\w+)\.qcow2[^/]*$/.exec(file)![1]!)
}

it.each([0, 20])('one of a frozen layer is ended by who wants the domain, %i ms after its begin', async (afterMs) => {
  const commit = { top: file('middle'), base: file('low'), isDisk: false }
  const done = commitBlocks(libvirt, uuid, commit, AbortSignal.timeout(afterMs))
  await expect(done).rejects.toMatchObject({ code: 'cancelled' })
  expect(await written()).toEqual(['disk'])
})

it('one of the disk goes on all the same, and is done again if somebody else ends it', async () => {
  const { call } = libvirt
  const commit = { top: file('disk'), base: file('middle'), isDisk: true }
  const heard = hear(libvirt, ({ type }) => type === 'block-job')
  const done = commitBlocks(libvirt, uuid, commit, AbortSignal.abort())
  await vi.waitUntil(() =>
    call.domainBlockJobAbort(uuid, 'vda').then(
      () => true,
      () => false,
    ),
  )
  await done
  heard.stop()
  expect(heard.events).toMatchObject([{ status: 'cancelled' }, { status: 'ready' }, { status: 'completed' }])
  expect(await written()).toEqual(['middle'])
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
