import type { Reporter, TestModule } from 'vitest/node'

/** Reports at the end of a run which tests this machine could not run, and why, and how many are for deep runs only. */
export default class Skipped implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const skipped = modules.flatMap((module) => [...module.children.allTests('skipped')])
    const unable = skipped.flatMap((test) => {
      const result = test.result()
      return result.state === 'skipped' && result.note ? [`  ${test.fullName}: ${result.note}`] : []
    })
    if (unable.length > 0) console.log(`Not shown on this machine:\n${unable.join('\n')}`)
    const others = skipped.length - unable.length
    if (others > 0) console.log(`${others} tests are for a deep run: tests/run deep`)
  }
}
