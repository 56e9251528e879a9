import { defineConfig } from 'vitest/config'

const shared = { pool: 'forks' as const, environment: 'node' }
const withGuests = { ...shared, globalSetup: 'tests/lib/image.ts', testTimeout: 400_000, hookTimeout: 600_000 }
const files = 'tests/integration/**/*.test.ts'
/** They restart the libvirtd that all VMs are run by, flush the firewall, use up the memory of the box, or measure. */
const alone = ['isolation', 'governor', 'libvirt*'].map((name) => `tests/integration/${name}.test.ts`)

export default defineConfig({
  test: {
    projects: [
      { test: { ...shared, name: 'unit', include: ['{daemon,ui}/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          ...withGuests,
          name: 'integration',
          include: [files],
          exclude: alone,
          // Each in a slot of its own; half of the time one waits, for a guest's clock or its only CPU.
          maxWorkers: process.env.CROFT_TEST_SLOT ? 1 : 2,
          sequence: { groupOrder: 1 },
        },
      },
      { test: { ...withGuests, name: 'alone', include: alone, fileParallelism: false, sequence: { groupOrder: 2 } } },
    ],
  },
})
