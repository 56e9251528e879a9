import { defineConfig } from 'vitest/config'

const shared = { pool: 'forks' as const, environment: 'node' }

export default defineConfig({
  test: {
    projects: [
      { test: { ...shared, name: 'unit', include: ['daemon/**/*.test.ts'], testTimeout: 10_000 } },
      {
        test: {
          ...shared,
          name: 'integration',
          include: ['tests/integration/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 600_000,
        },
      },
    ],
  },
})
