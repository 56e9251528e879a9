import type { Page } from 'playwright-core'
import { Browsers } from './browser.ts'
import type { Croft } from './croft.ts'

/** Browsers that are signed in to the console of a test's daemon. */
export class Consoles implements AsyncDisposable {
  readonly browsers = new Browsers()
  /**
   * Complaints of pages, of which there should be none: errors, breaches of the page's own rules, requests to other
   * hosts.
   */
  readonly complaints: string[] = []
  readonly #croft: () => Croft

  /** @param croft returns the daemon once it runs */
  constructor(croft: () => Croft) {
    this.#croft = croft
  }

  /** Returns the URL of a path at the daemon's own port. */
  at(path: string): string {
    return `http://localhost:${this.#croft().port}${path}`
  }

  /**
   * Opens a fresh browser and signs it in. @param by the link of `croft login` to use: `link` is the one at the web
   * address
   */
  async signedIn(options: Parameters<Browsers['open']>[1] = {}, by: 'local' | 'link' = 'local'): Promise<Page> {
    const page = await (await this.browsers.open([], options)).newPage()
    page.setDefaultTimeout(20_000)
    const { [by]: link } = JSON.parse(await this.#croft().do('login', '--json')) as Record<'local' | 'link', string>
    page.on('pageerror', (error) => this.complaints.push(String(error)))
    page.on('console', (message) => {
      if (/Content Security Policy|Trusted/i.test(message.text())) this.complaints.push(message.text())
    })
    page.on('request', (request) => {
      if (new URL(request.url()).host !== new URL(link).host) this.complaints.push(`a request to ${request.url()}`)
    })
    await page.goto(link)
    await page.click('button')
    await page.waitForSelector('h1:has-text("The box")')
    return page
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.browsers[Symbol.asyncDispose]()
  }
}
