import { describe, expect, test } from 'vitest'
import { cgroupVersion } from '../adapters/kernel/cgroups.ts'
import { type SharingFacts, sharingCheck } from './check-sharing.ts'

const facts: SharingFacts = {
  cpuCgroups: 2,
  disks: [{ name: 'sda', scheduler: 'bfq', byCost: false }],
  uplink: { name: 'eth0', queues: ['mq', 'fq_codel', 'fq_codel'] },
}
const plain = [{ name: 'nvme0n1', scheduler: 'none', byCost: false }]

describe('how CPUs, disk and network are shared', () => {
  test('is said in one line where all of it is', () => {
    expect(sharingCheck(facts, new Map())).toEqual({
      what: 'sharing',
      state: 'fine',
      says: 'CPUs by priority; disk by priority (sda: bfq); network in turn (eth0: mq, fq_codel)',
    })
  })

  test('a box is well without it for disk and network, and what would help is said', () => {
    const uplink = { name: 'eth0', queues: ['pfifo_fast'] }
    const check = sharingCheck({ ...facts, disks: plain, uplink }, new Map())
    expect(check).toMatchObject({
      state: 'fine',
      says: expect.stringContaining('network as it comes (eth0: pfifo_fast)'),
    })
    expect(check.advice).toContain('echo bfq > /sys/block/nvme0n1/queue/scheduler')
    expect(check.advice).toContain('tc qdisc replace dev eth0 root fq_codel')
  })

  test('disks that go by cost have priorities, too; a way outside there need not be', () => {
    const check = sharingCheck({ ...facts, disks: [{ ...plain[0]!, byCost: true }], uplink: undefined }, new Map())
    expect(check.says).toBe('CPUs by priority; disk by priority (nvme0n1: none); network as it comes (no way outside)')
    expect(check.advice).toBeUndefined()
  })

  test('a box without cgroups, or that refuses priorities, is worth a look', () => {
    expect(sharingCheck({ ...facts, cpuCgroups: 0 }, new Map())).toMatchObject({
      state: 'look',
      says: expect.stringContaining('without priorities and limits'),
    })
    const refused = new Map([['cpuWeight', { vm: 'web', why: 'libvirt: no' }]] as const)
    expect(sharingCheck(facts, refused)).toMatchObject({
      state: 'look',
      says: expect.stringContaining('CPU priorities fail: libvirt: no'),
    })
  })

  test('a VM that is not held to a limit of its own is named', () => {
    const lost = new Map([['cpuPercent', { vm: 'web', why: 'libvirt: no' }]] as const)
    expect(sharingCheck(facts, lost)).toMatchObject({
      state: 'look',
      says: 'web is not held to its limits: libvirt: no',
    })
  })
})

describe('the version of cgroups that CPUs are shared by', () => {
  const v1 = 'tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,nosuid,cpu,cpuacct 0 0\n'
  test.each([
    ['2, as today’s boxes have it', 'cpuset cpu io memory pids\n', '', 2],
    ['1, beside a 2 that has no CPUs', 'hugetlb\n', v1, 1],
    ['none where they may not be written', '', v1.replace('cgroup rw', 'cgroup ro'), 0],
    ['none where only the time is counted', 'cpuset io\n', v1.replaceAll('cpu,cpuacct', 'cpuacct'), 0],
    ['none where there are none', '', '', 0],
  ])('%s', (_, controllers, mounts, version) => expect(cgroupVersion(controllers, mounts)).toBe(version))
})
