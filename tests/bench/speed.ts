import { setTimeout as delay } from 'node:timers/promises'
import { startCroft } from '../lib/croft.ts'
import { type Figure, timed } from './figures.ts'
import { settleMs, sizesOf } from './layers.ts'

const names = ['mapped', 'copied'] as const
const rounds = Number(process.env.CROFT_BENCH_ROUNDS ?? 10)
const workMs = Number(process.env.CROFT_BENCH_WORK_MS ?? 10 * 60_000)

/** A database that grows, and archives that are made, as in a build. */
const work = `cat > work.py <<'end'
import os, random, sqlite3, subprocess, time
late = time.monotonic() + ${workMs / 1000}
database = sqlite3.connect("work.db")
database.execute("create table if not exists t (k integer primary key, v text)")
while time.monotonic() < late:
    for _ in range(2000): database.execute("insert or replace into t values (?, ?)", (random.randrange(10**6), os.urandom(50).hex()))
    database.commit()
    subprocess.run("tar -C /usr/share -cz zoneinfo perl | md5sum > sums", shell=True)
open("done", "w")
end
nohup python3 work.py > /dev/null 2>&1 &`

/** Programs that are as fast as their memory: new memory, and files that are in the golden checkpoint's memory. */
const programs = {
  'copies 64 MB, 20 times': `python3 -c 'a = bytearray(64 << 20)
for i in range(20): b = bytes(a)'`,
  'reads files in memory': `sh -c 'for i in 1 2 3 4 5; do cat /usr/lib/x86_64-linux-gnu/*.so* | md5sum > /dev/null; done'`,
}

/**
 * What guests have of their own after ten minutes of work, and how fast they then are: one whose memory is mapped from
 * its memory base, beside one that has a copy of it, in turn.
 */
export async function speedFigures(): Promise<Figure[]> {
  const defaults = { memoryMiB: 512, sleepAfter: 0, dozeAfter: 0 }
  await using croft = await startCroft({ config: { defaults } })
  await croft.do('new', 'mapped')
  await croft.kill('SIGTERM')
  await croft.start({}, { memoryLayers: false })
  await croft.do('new', 'copied')
  for (const name of names) await croft.do('exec', name, work)
  for (const name of names) while ((await croft.run(['exec', name, 'ls done'])).code !== 0) await delay(5000)
  await delay(settleMs)
  const figures: Figure[] = []
  for (const name of names) {
    const { pss, own, code } = await sizesOf(croft, name)
    figures.push({ what: `${name}, has worked: PSS`, unit: 'MB', values: [pss] })
    figures.push({ what: `${name}, has worked: private bytes`, unit: 'MB', values: [own] })
    figures.push({ what: `${name}, has worked: … of which translated code`, unit: 'MB', values: [code] })
  }
  for (const [what, program] of Object.entries(programs)) {
    const [mapped, copied] = names.map((name) => ({ name, values: [] as number[] }))
    for (let round = 0; round <= rounds; round++) {
      for (const { name, values } of round % 2 ? [mapped!, copied!] : [copied!, mapped!]) {
        const ms = await timed(() => croft.do('exec', name, program))
        // The emulator translates the program in the first round.
        if (round > 0) values.push(ms)
      }
    }
    for (const { name, values } of [mapped!, copied!]) figures.push({ what: `${name}: ${what}`, unit: 'ms', values })
  }
  return figures
}
