import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { expose } from './exposition.ts'
import { type Found, metricsOf } from './metrics.ts'

test('metrics are formatted for Prometheus', () => {
  expect(
    expose([
      { name: 'a_bytes', type: 'gauge', help: 'One \\ two\nthree "four".', samples: [{ value: 1.5e21 }] },
      { name: 'none', type: 'gauge', help: 'Nothing.', samples: [] },
      {
        name: 'b_total',
        type: 'counter',
        help: 'More.',
        samples: [
          { labels: { id: 'x', name: 'a"b\\c\nd' }, value: 0 },
          { labels: { id: 'y', name: '' }, value: 0.25 },
        ],
      },
    ]),
  ).toBe(
    '# HELP a_bytes One \\\\ two\\nthree "four".\n# TYPE a_bytes gauge\na_bytes 1.5e+21\n' +
      '# HELP b_total More.\n# TYPE b_total counter\nb_total{id="x",name="a\\"b\\\\c\\nd"} 0\nb_total{id="y",name=""} 0.25\n',
  )
})

test('any label stays within its quotes and can be read back unchanged', () => {
  const samplesOf = (value: string) => [{ labels: { name: value }, value: 1 }]
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('"', '\\', '\n', 'n', '}', ' ', 'é') }), (value) => {
      const lines = expose([{ name: 'm', type: 'gauge', help: 'h', samples: samplesOf(value) }]).split('\n')
      expect(lines).toHaveLength(4)
      const [, quoted] = /^m\{name="((?:[^"\\]|\\["\\n])*)"\} 1$/.exec(lines[2]!)!
      expect(quoted!.replace(/\\(.)/g, (_, char) => (char === 'n' ? '\n' : char))).toBe(value)
    }),
  )
})

const found: Found = {
  build: { version: '1.0.0', node: '24.0.0' },
  libvirtAnswers: true,
  usage: {
    cpus: 8,
    cpuPercent: 12,
    memoryTotalBytes: 64e9,
    memoryUsedBytes: 12e9,
    memorySharedBytes: 2e8,
    swapTotalBytes: 32e9,
    swapUsedBytes: 1e9,
    diskTotalBytes: 250e9,
    diskFreeBytes: 198e9,
    diskKeptBytes: 12e9,
  },
  pressure: { cpu: 12.5, memory: null, io: 0 },
  level: 'tight',
  counters: {
    cpuBusySeconds: 1234.5,
    vms: new Map([
      [
        'vm_a',
        {
          cpuTimeNs: 2.5e9,
          guestTimeNs: 2e9,
          residentBytes: 212e6,
          ownBytes: 180e6,
          fileBytes: 32e6,
          receivedBytes: 1,
          sentBytes: 2,
          sentPackets: 1,
          waitedNs: 0,
          diskReadBytes: 3,
          diskWrittenBytes: 4,
          balloon: undefined,
        },
      ],
    ]),
  },
  vms: [
    { id: 'vm_a', name: 'web', tags: ['ci', 'shop'], image: 'debian', state: 'awake', sshSessions: 2, heavyOn: 'disk' },
    { id: 'vm_b', name: 'idle', tags: [], image: 'debian', state: 'asleep', sshSessions: 0 },
  ],
  vmUsage: new Map([
    ['vm_a', { cpuPercent: 3, memoryBytes: 212e6, diskBytes: 88e6 }],
    ['vm_b', { cpuPercent: null, memoryBytes: null, diskBytes: 5e6 }],
  ]),
  daemon: { cpuSeconds: 3.5, residentBytes: 90e6, startedAtSeconds: 1.8e9 },
}

test('of the box, its VMs and the daemon; what is not known is not there', () => {
  const lines = expose(metricsOf(found)).split('\n')
  for (const line of [
    'croft_build_info{version="1.0.0",node="24.0.0"} 1',
    'croft_box_pressure_ratio{resource="cpu"} 0.125',
    'croft_vms{state="awake"} 1',
    'croft_vms{state="crashed"} 0',
    'croft_vm_info{id="vm_a",name="web",image="debian",tags="ci,shop"} 1',
    'croft_vm_cpu_seconds_total{id="vm_a",name="web"} 2.5',
    'croft_vm_memory_resident_bytes{id="vm_a",name="web"} 212000000',
    'croft_vm_disk_bytes{id="vm_b",name="idle"} 5000000',
    'croft_vm_ssh_sessions{id="vm_a",name="web"} 2',
    'croft_vm_heavy{id="vm_a",name="web",resource="disk"} 1',
    'croft_box_swap_used_bytes 1000000000',
    'process_cpu_seconds_total 3.5',
  ])
    expect(lines).toContain(line)
  for (const none of [
    'pressure_ratio{resource="memory"}',
    'memory_resident_bytes{id="vm_b"',
    'cpu_seconds_total{id="vm_b"',
  ])
    expect(lines.join('\n')).not.toContain(none)
})

test('their names keep the rules: a prefix, base units, _total for what only counts up', () => {
  const metrics = metricsOf(found)
  expect(new Set(metrics.map(({ name }) => name)).size).toBe(metrics.length)
  for (const { name, type, help } of metrics) {
    expect(name).toMatch(/^(croft|process)_[a-z_]+$/)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    expect(help).toMatch(/\.$/)
  }
})

test('the dashboard asks for metrics that there are', async () => {
  const text = await readFile(join(import.meta.dirname, '../../../docs/grafana.json'), 'utf8')
  const dashboard = JSON.parse(text)
  const asked = text.match(/\b(?:croft|process)_[a-z_]+/g)!
  const names = metricsOf(found).map(({ name }) => name)
  expect(dashboard.panels.length).toBeLessThanOrEqual(12)
  expect(asked.length).toBeGreaterThan(10)
  for (const each of asked) expect(names).toContain(each)
})
