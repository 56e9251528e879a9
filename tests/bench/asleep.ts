import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Croft, startCroft } from '../lib/croft.ts'
import { type Figure, timed } from './figures.ts'

const rounds = 5

/** What a VM does before it sleeps: it reads files and runs a server. */
export const work = `nohup python3 -c '
import http.server, json
kept = [json.dumps({"n": n, "s": str(n) * 20}) for n in range(200000)]
http.server.HTTPServer(("", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()' > /dev/null 2>&1 &
sudo find /usr/lib /etc /usr/share -type f -exec md5sum {} + > sums; until curl -so /dev/null localhost:8000; do sleep 1; done`

/** What sleeping VMs cost on disk, and how long they take to wake, uncompressed and compressed. */
export async function asleepFigures(): Promise<Figure[]> {
  await using croft = await startCroft()
  await croft.do('new', 'fresh')
  await croft.do('new', 'worked')
  await croft.do('exec', 'worked', work)
  const fresh = await figuresOf(croft, 'fresh', 'a VM that has done nothing')
  return [...fresh, ...(await figuresOf(croft, 'worked', 'a VM that has worked'))]
}

async function figuresOf(croft: Croft, vm: string, words: string): Promise<Figure[]> {
  const figure = (what: string, unit: Figure['unit']): Figure => ({ what: `${words}, ${what}`, unit, values: [] })
  const raw = { bytes: figure('asleep, as saved: disk', 'MB'), wake: figure('as saved: `wake` → usable', 'ms') }
  const small = { bytes: figure('asleep, compressed: disk', 'MB'), wake: figure('compressed: `wake` → usable', 'ms') }
  // In turn, so that other work on the box affects both alike.
  for (let round = 0; round < rounds; round++) {
    for (const each of [raw, small]) {
      await croft.ask('sleep', { vm })
      if (each === small) await compressed(croft, vm)
      each.bytes.values.push((await stat(await memoryOf(croft, vm))).blocks * 512e-6)
      each.wake.values.push(await timed(() => croft.ask('wake', { vm })))
    }
  }
  return [raw.bytes, small.bytes, raw.wake, small.wake]
}

/** Waits until the memory of a VM that has just gone to sleep is compressed. */
export async function compressed(croft: Croft, vm: string): Promise<void> {
  const saved = await memoryOf(croft, vm)
  while ((await memoryOf(croft, vm)) === saved) await delay(100)
}

/** The path of the memory of a VM that sleeps. */
export async function memoryOf(croft: Croft, name: string): Promise<string> {
  const { vms, memories } = await croft.state()
  const { memory } = Object.values(vms).find((vm) => vm.name === name)!
  return join(croft.folder, memories[memory!]!.file)
}
