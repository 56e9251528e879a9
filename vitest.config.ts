import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const shared = { pool: 'forks' as const, environment: 'node' }
const withGuests = { ...shared, globalSetup: 'tests/lib/image.ts', testTimeout: 400_000, hookTimeout: 600_000 }
const files = 'tests/integration/**/*.test.ts'
const named = (...names: string[]) => names.map((name) => `tests/integration/${name}.test.ts`)
/** It uses up the memory of the box, and measures what is left. */
const alone = named('governor')
/** They restart the libvirtd that all VMs are run by, flush the firewall, or measure: beside them are no VMs of others. */
const apart = named('isolation', 'libvirt', 'libvirt-liveness', 'libvirt-restart')

/** Those that take minutes, and whose text is short: Vitest begins with the longest texts, and would wait for these alone. */
const slow = ['restart', 'fork-faults', 'fork', 'idle', 'disk-full', 'spares'].map((name) => `/${name}.test.ts`)

class SlowFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const rank = ({ moduleId }: TestSpecification) => (slow.some((name) => moduleId.endsWith(name)) ? 0 : 1)
    return sorted.sort((a, b) => rank(a) - rank(b))
  }
}

export default defineConfig({
  test: {
    sequence: { sequencer: SlowFirst },
    reporters: ['default', './tests/lib/skipped.ts'],
    projects: [
      // They leave nothing behind in what they import: two processes do for all of them.
      { test: { ...shared, isolate: false, name: 'unit', include: ['{daemon,ui}/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          ...withGuests,
          name: 'integration',
          include: [files],
          exclude: [...alone, ...apart],
          // Each in a slot of its own; half of the time one waits, for a guest's clock or its only CPU.
          maxWorkers: process.env.CROFT_TEST_SLOT ? 1 : 2,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...withGuests, name: 'alone', include: alone, fileParallelism: false, sequence: { groupOrder: 2 } } },
      { test: { ...withGuests, name: 'apart', include: apart, fileParallelism: false, sequence: { groupOrder: 3 } } },
    ],
  },
})
