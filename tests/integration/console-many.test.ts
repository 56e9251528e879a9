import type { Page } from 'playwright-core'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { fill } from '../bench/thousand.ts'
import { Browsers } from '../lib/browser.ts'
import { type Croft, startCroft } from '../lib/croft.ts'
import { varied } from '../lib/many.ts'

/** The list of a box with 1,000 VMs; none of them runs. */
let croft: Croft
let page: Page
const browsers = new Browsers()
beforeAll(async () => {
  croft = await startCroft({ image: 'bare' })
  await croft.kill('SIGTERM')
  await fill(croft, 1000, varied)
  await croft.start()
  page = await (await browsers.open([], { viewport: { width: 1280, height: 800 } })).newPage()
  page.setDefaultTimeout(20_000)
  await page.goto(JSON.parse(await croft.do('login', '--json')).local)
  await page.click('button')
  await page.waitForSelector('h1:has-text("The box")')
  await page.click('nav >> text=VMs')
  await page.waitForSelector('.vms a.name')
}, 120_000)
afterAll(async () => {
  await browsers[Symbol.asyncDispose]()
  await croft?.[Symbol.asyncDispose]()
}, 120_000)

const patience = { timeout: 20_000, interval: 50 }
const first = () => page.textContent('.vms a.name')
const status = () => page.textContent('.filters [role=status]')
const focused = () => page.evaluate('document.activeElement.textContent') as Promise<string>
const becomes = (what: () => Promise<unknown>, value: unknown) =>
  vi.waitFor(async () => expect(await what()).toEqual(value), patience)

/** The VMs' names in the list's default order. */
const names = Array.from({ length: 1000 }, (_, i) => varied(i).name).sort()

test('few rows are drawn, and the list says how many there are', async () => {
  expect(await page.getAttribute('.vms', 'aria-rowcount')).toBe('1001')
  expect(await page.locator('.vms tr').count()).toBeLessThan(60)
  expect(await status()).toBe('1000')
  expect(await first()).toBe(names[0])
})

test('a VM is found by typing, and all are shown again by one button', async () => {
  await page.fill('.filters input', '#shop NUMBER 992')
  await becomes(status, '1 of 1000')
  expect(await first()).toBe('shop-0992')
  await page.fill('.filters input', 'no such thing')
  await page.waitForSelector('text=Nothing matches no such thing')
  await page.click('text=Show all')
  await becomes(status, '1000')
  expect(await page.evaluate('document.activeElement.type')).toBe('search')
  await page.selectOption('.filters select', '#wiki')
  await becomes(status, '125 of 1000')
  expect(await page.getAttribute('.vms', 'aria-rowcount')).toBe('126')
  await page.selectOption('.filters select', '')
})

test('a column turns round when it is clicked again', async () => {
  const sorted = () => page.getAttribute('.vms th.name', 'aria-sort')
  expect(await sorted()).toBe('ascending')
  await page.click('.vms th >> text=Name')
  await becomes(sorted, 'descending')
  await becomes(first, names.at(-1))
  await page.click('.vms th >> text=CPU')
  await becomes(sorted, null)
  expect(await page.getAttribute('.vms th.cpu', 'aria-sort')).toBe('descending')
  await page.click('.vms th >> text=Name')
  await becomes(sorted, 'ascending')
  await becomes(first, names[0])
})

test('every row is reached by the keyboard', async () => {
  await page.focus('.filters input')
  await page.keyboard.press('ArrowDown')
  await becomes(focused, names[0])
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('j')
  await becomes(focused, names[2])
  await page.keyboard.press('End')
  await becomes(focused, names.at(-1))
  expect(await page.locator('.vms tr').count()).toBeLessThan(60)
  await page.keyboard.press('PageUp')
  await page.keyboard.press('PageDown')
  await becomes(focused, names.at(-1))
  await page.keyboard.press('Home')
  await becomes(focused, names[0])
  for (let i = 0; i < 30; i++) await page.keyboard.press('ArrowDown')
  await becomes(focused, names[30])
  const covered = `(() => {
    const { top, bottom } = document.activeElement.getBoundingClientRect()
    return top < 0 || bottom > document.querySelector('footer').getBoundingClientRect().top
  })()`
  expect(await page.evaluate(covered)).toBe(false)
  await page.keyboard.press('Enter')
  await page.waitForSelector(`h1:has-text("${names[30]}")`)
  await page.goBack()
  await page.waitForSelector('.vms a.name')
})

test('the focused row keeps the focus when the order changes or it is out of sight, and the page does not scroll', async () => {
  await page.focus(`.vms a:has-text("${names[5]}")`)
  const stood = await page.evaluate('scrollY')
  // With its name its place changes, from near the first to the last.
  await croft.ask('rename', { vm: names[5], to: 'zz-last' })
  await becomes(focused, 'zz-last')
  await becomes(() => page.getAttribute('.vms tr:has(:focus)', 'aria-rowindex'), '1001')
  expect(await page.evaluate('scrollY')).toBe(stood)
  expect(await page.locator('.vms tr').count()).toBeLessThan(60)
  await page.keyboard.press('ArrowUp')
  await becomes(focused, names.at(-1))
  await page.evaluate('scrollTo(0, 10000)')
  await becomes(first, expect.not.stringMatching(names[0]!))
  await croft.ask('comment', { vm: names[255], text: 'changed' })
  await page.waitForSelector('.vms td >> text=changed')
  expect(await page.evaluate('scrollY')).toBe(10_000)
  expect(await focused()).toBe(names.at(-1))
  await page.evaluate('scrollTo(0, 0)')
})

test('a range is selected with Shift, and all shown rows by the head', async () => {
  const count = () => page.textContent('.selection b')
  await page.fill('.filters input', '#mail')
  await becomes(status, '125 of 1000')
  const boxes = page.locator('.vms tbody input')
  await boxes.nth(2).click()
  await boxes.nth(6).click({ modifiers: ['Shift'] })
  await becomes(count, '5 selected')
  expect(await page.evaluate('document.querySelector(".vms thead input").indeterminate')).toBe(true)
  await boxes.nth(5).click()
  await boxes.nth(3).click({ modifiers: ['Shift'] })
  await becomes(count, '2 selected')
  await page.click('.vms thead input')
  await becomes(count, '125 selected')
  expect(await page.isChecked('.vms thead input')).toBe(true)
  await page.click('.vms thead input')
  await page.waitForSelector('.selection', { state: 'detached' })
})
