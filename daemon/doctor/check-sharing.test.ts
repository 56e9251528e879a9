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
  test('one line says it all on a box that has everything', () => {
    expect(sharingCheck(facts, new Map())).toEqual({
      what: 'sharing',
      state: 'fine',
      says: 'CPUs by priority; disk by priority (sda: bfq); network in turn (eth0: mq, fq_codel)',
    })
  })

  test('a box without fair sharing of disk and network is fine, and is told what would help', () => {
    const uplink = { name: 'eth0', queues: ['pfifo_fast'] }
    const check = sharingCheck({ ...facts, disks: plain, uplink }, new Map())
    expect(check).toMatchObject({
      state: 'fine',
      says: expect.stringContaining('network first come, first served (eth0: pfifo_fast)'),
    })
    expect(check.advice).toContain('echo bfq > /sys/block/nvme0n1/queue/scheduler')
    expect(check.advice).toContain('tc qdisc replace dev eth0 root fq_codel')
  })

  test('disks that work by cost have priorities, too; a box may have no uplink', () => {
    const check = sharingCheck({ ...facts, disks: [{ ...plain[0]!, byCost: true }], uplink: undefined }, new Map())
    expect(check.says).toBe(
      'CPUs by priority; disk by priority (nvme0n1: none); network first come, first served (no uplink found)',
    )
    expect(check.advice).toBeUndefined()
  })

  test('a box without cgroups, or that refuses priorities, is worth a look', () => {
    expect(sharingCheck({ ...facts, cpuCgroups: 0 }, new Map())).toMatchObject({
      state: 'look',
      says: expect.stringContaining('without priorities or limits'),
    })
    const refused = new Map([['cpuWeight', { vm: 'web', why: 'libvirt: no' }]] as const)
    expect(sharingCheck(facts, refused)).toMatchObject({
      state: 'look',
      says: expect.stringContaining('CPU priorities fail: libvirt: no'),
    })
  })

  test('a VM whose limits are not enforced is named', () => {
    const lost = new Map([['cpuPercent', { vm: 'web', why: 'libvirt: no' }]] as const)
    expect(sharingCheck(facts, lost)).toMatchObject({
      state: 'look',
      says: 'the limits of web are not enforced: libvirt: no',
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
