import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import type { CDPSession, Page } from 'playwright-core'
import { Browsers } from '../lib/browser.ts'
import { startCroft } from '../lib/croft.ts'
import { varied } from '../lib/many.ts'
import type { Figure } from './figures.ts'
import { allDefined, fill } from './thousand.ts'

const count = 1000
/** A frame at 60 a second takes 16.7 ms; the clock of a browser without a screen is off by the rest. */
const inTimeMs = 18

/**
 * The console of a daemon with 1,000 stopped VMs in Debian's Chromium, by its tracing, compared with a plain page of as
 * many rows.
 */
export async function consoleFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  await using browsers = new Browsers()
  await croft.kill('SIGTERM')
  await fill(croft, count, varied)
  await croft.start()
  await allDefined(croft)
  const at = (path: string) => `http://localhost:${croft.port}${path}`
  const context = await browsers.open([], { viewport: { width: 1280, height: 800 } })
  const page = await context.newPage()
  const session = await context.newCDPSession(page)
  await page.goto(JSON.parse(await croft.do('login', '--json')).local)
  await page.click('button')
  await page.waitForSelector('h1:has-text("The box")')

  const figures: Figure[] = await sizes()
  await session.send('Network.setCacheDisabled', { cacheDisabled: true })
  for (const [what, path, selector] of [
    ['the box', '/', '.edge a'],
    ['the list', '/vms', '.vms a.name'],
  ] as const)
    figures.push({
      what: `first load of ${what}, to usable`,
      unit: 'ms',
      values: await loads(page, at(path), selector),
      aim: 1000,
    })

  await page.goto('about:blank')
  const plain = await context.newPage()
  await plain.setContent(plainPage)
  await plain.bringToFront()
  const plainSession = await context.newCDPSession(plain)
  figures.push(...(await frames('a plain page, nothing happens', plainSession, plain, () => delay(3000))))
  figures.push(
    ...(await frames('a plain page of 1,000 rows, scrolled', plainSession, plain, () => scrollThrough(plain))),
  )
  await plain.close()

  const during = async (what: string, work: () => Promise<unknown>) => {
    figures.push(...(await frames(`the list, ${what}`, session, page, work)))
  }
  await page.goto(at('/vms'))
  await page.waitForSelector('.vms a.name')
  await during('refreshed each 2 s', () => delay(6500))
  await during('scrolled', () => scrollThrough(page))
  await page.evaluate('scrollTo(0, 0)')
  await during('typed in the search', async () => {
    await page.focus('.filters input')
    for (const word of ['shop anna', 'number 99', '#live mail', 'nothing']) {
      await page.keyboard.type(word, { delay: 60 })
      await page.fill('.filters input', '')
    }
  })
  await during('filtered', async () => {
    for (const value of ['#shop', 'stopped', '#live', '']) {
      await page.selectOption('.filters select', value)
      await delay(200)
    }
  })
  await during('sorted', async () => {
    for (const title of ['State', 'Disk', 'Disk', 'Name', 'Name', 'Name']) {
      await page.click(`.vms th >> text=${title}`)
      await delay(200)
    }
  })
  await during('all selected, and none', async () => {
    for (let i = 0; i < 4; i++) {
      await page.click('.vms thead input')
      await delay(300)
    }
  })
  await during('by the keyboard', async () => {
    await page.focus('.vms a.name')
    for (const key of ['End', 'Home', ...Array(20).fill('PageDown'), ...Array(40).fill('ArrowDown')])
      await page.keyboard.press(key, { delay: 20 })
  })
  const palette = async () => {
    await page.keyboard.press('Control+k')
    await page.waitForSelector('dialog[open] input')
    await page.keyboard.type('start shop-0', { delay: 60 })
    await page.keyboard.press('Escape')
  }
  figures.push(...(await frames('the palette, typed in', session, page, palette)))
  await page.goto(at('/'))
  await page.waitForSelector('.field')
  figures.push(...(await frames('the box, memory, refreshed', session, page, () => delay(6500))))
  await page.click('.switch >> text=disk')
  figures.push(...(await frames('the box, disk, refreshed', session, page, () => delay(6500))))
  return figures
}

/** The files that a browser loads before a terminal is opened, and those that it loads with one. */
async function sizes(): Promise<Figure[]> {
  const folder = join(import.meta.dirname, '..', '..', 'ui', 'dist', 'assets')
  const files = (await readdir(folder)).filter((name) => /\.(js|css)$/.test(name)).sort()
  return Promise.all(
    files.map(async (name): Promise<Figure> => {
      const kilobytes = gzipSync(await readFile(join(folder, name))).length / 1000
      const what = `${name.replace(/-[\w-]{8}\./, '.')}, compressed`
      return { what, unit: 'kB', values: [kilobytes], ...(name.startsWith('index') && { aim: 120 }) }
    }),
  )
}

/**
 * From the navigation's start to the first frame after the awaited element appears, seven times with nothing cached.
 */
async function loads(page: Page, url: string, selector: string): Promise<number[]> {
  const values: number[] = []
  for (let i = 0; i < 7; i++) {
    await page.goto(url, { waitUntil: 'commit' })
    values.push(
      (await page.evaluate(`new Promise((resolve) => {
        const look = () => document.querySelector(${JSON.stringify(selector)})
          ? requestAnimationFrame(() => setTimeout(() => resolve(performance.now())))
          : requestAnimationFrame(look)
        look()
      })`)) as number,
    )
  }
  return values
}

/** Scrolls the whole page in 300 steps, one in each frame. */
const scrollThrough = (page: Page) =>
  page.evaluate(`new Promise((resolve) => {
    const step = (document.documentElement.scrollHeight - innerHeight) / 300
    let at = 0
    const next = () => {
      scrollTo(0, ++at * step)
      at < 300 ? requestAnimationFrame(next) : resolve()
    }
    next()
  })`)

/** Changes something small in each frame, so that a missed frame shows as a gap. */
const beat = `(() => {
  const dot = document.createElement('div')
  document.documentElement.append(dot)
  Object.assign(dot.style, { position: 'fixed', top: 0, left: 0, width: '4px', height: '4px', zIndex: 9 })
  let n = 0
  const next = () => {
    dot.style.background = n++ % 2 ? '#000' : '#fff'
    window.beats = requestAnimationFrame(next)
  }
  next()
  window.stopBeats = () => { cancelAnimationFrame(window.beats); dot.remove() }
})()`

interface TraceEvent {
  name: string
  ph: string
  pid: number
  tid: number
  ts: number
  dur?: number
  args: { name?: string }
}

/** The times between frames drawn while `work` runs, and the longest task of the page's thread meanwhile. */
async function frames(what: string, session: CDPSession, page: Page, work: () => Promise<unknown>): Promise<Figure[]> {
  await page.evaluate(beat)
  await delay(500)
  const events: TraceEvent[] = []
  const collectGarbage = ({ value }: { value: object[] }) => events.push(...(value as TraceEvent[]))
  session.on('Tracing.dataCollected', collectGarbage)
  await session.send('Tracing.start', {
    transferMode: 'ReportEvents',
    traceConfig: {
      includedCategories: [
        '__metadata',
        'disabled-by-default-devtools.timeline.frame',
        'devtools.timeline.frame',
        'disabled-by-default-devtools.timeline',
      ],
      excludedCategories: ['*'],
    },
  })
  await work()
  const complete = new Promise((resolve) => session.once('Tracing.tracingComplete', resolve))
  await session.send('Tracing.end')
  await complete
  session.off('Tracing.dataCollected', collectGarbage)
  await page.evaluate('window.stopBeats?.()')

  const drawn = Map.groupBy(
    events.filter(({ name }) => name === 'DrawFrame'),
    ({ pid }) => pid,
  )
  const [pid, ours] = [...drawn].toSorted(([, a], [, b]) => b.length - a.length)[0] ?? [0, []]
  const times = ours.map(({ ts }) => ts / 1000).toSorted((a, b) => a - b)
  const between = times.slice(1).map((time, i) => time - times[i]!)
  const main = events.find(
    ({ pid: of, name, args }) => of === pid && name === 'thread_name' && args.name === 'CrRendererMain',
  )
  const tasks = events.filter(({ pid: of, tid, name }) => of === pid && tid === main?.tid && name === 'RunTask')
  if (tasks.length === 0) throw new Error(`nothing was traced of: ${what}`)
  const share = (100 * between.filter((ms) => ms <= inTimeMs).length) / between.length
  return [
    { what: `${what}: from frame to frame`, unit: 'ms', values: between },
    { what: `… within ${inTimeMs} ms`, unit: '%', values: [share] },
    { what: '… longest task', unit: 'ms', values: [Math.max(...tasks.map(({ dur }) => (dur ?? 0) / 1000))] },
  ]
}

const plainPage = `<!doctype html><style>td { height: 40px }</style><table>${Array.from(
  { length: count },
  (_, i) => `<tr><td>vm-${i}<td>stopped<td>–<td>–<td>10.87.0.${i}`,
).join('')}</table>`
