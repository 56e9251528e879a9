import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BrowserContext, chromium, type Page } from 'playwright-core'

/** Debian's Chromium, one fresh instance for each call: `await using browsers = new Browsers()`. */
export class Browsers implements AsyncDisposable {
  readonly #open: { context: BrowserContext; folder: string }[] = []

  /** @param options as Playwright takes them */
  async open(
    args: readonly string[] = [],
    options: Parameters<typeof chromium.launchPersistentContext>[1] = {},
  ): Promise<BrowserContext> {
    const folder = await mkdtemp(join(tmpdir(), 'croft-browser-'))
    const context = await chromium.launchPersistentContext(folder, {
      executablePath: '/usr/bin/chromium',
      ignoreHTTPSErrors: true,
      ...options,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-background-networking',
        '--disable-component-update',
        '--host-resolver-rules=MAP *.box.test 127.0.0.1',
        ...args,
      ],
    })
    for (const page of context.pages()) goAgain(page)
    context.on('page', goAgain)
    this.#open.push({ context, folder })
    return context
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { context, folder } of this.#open.splice(0)) {
      await context.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** Chromium aborts a load when another test creates a bridge, so an aborted load is retried. */
function goAgain(page: Page): void {
  const goto = page.goto.bind(page)
  page.goto = async (...where) => {
    for (let left = 4; ; left--) {
      try {
        return await goto(...where)
      } catch (error) {
        if (left === 0 || !/ERR_NETWORK_CHANGED|another navigation to "chrome-error:/.test(String(error))) throw error
      }
    }
  }
}
