import { z } from 'zod'
import { readDiskUse } from '../../core/layer/disk-use.ts'
import { diskForecast, forecastInWords } from '../../core/layer/forecast.ts'
import { reclaimable } from '../../core/layer/reclaimable.ts'
import { ago, bytes } from '../../lib/text/units.ts'
import { command, type View } from '../kit/command.ts'
import { facts, style, table } from '../kit/text.ts'
import { diskTotalBytes, layerBytes, savedMemoryBytes } from '../results/measures.ts'

const partResult = z.object({
  /** `memory`: saved memory of a sleeping VM. `spare`: loaded for the next `new`. */
  kind: z.enum(['vm', 'memory', 'checkpoint', 'image', 'golden', 'spare']),
  id: z.string(),
  name: z.string(),
  /** Id of the VM or image that it belongs to and is deleted with; its own id for a VM or an image. */
  group: z.string(),
  /** Freed by deleting it alone: a VM or an image with everything that belongs to it. */
  ownBytes: z.number(),
  /** Also used by it, but needed by others too. */
  sharedBytes: z.number(),
  layerBytes,
  savedMemoryBytes,
  createdAt: z.string(),
})
type PartResult = z.infer<typeof partResult>

const boxDf = z.object({
  parts: z.array(partResult),
  /** Total of Croft's files, and the part that several VMs or images use; each file is counted once. */
  croftBytes: z.number(),
  sharedBytes: z.number(),
  diskTotalBytes,
  diskFreeBytes: z.number(),
  /** What can be freed: at least how many bytes, and by which command. */
  reclaimable: z.array(z.object({ command: z.string(), bytes: z.number(), why: z.string() })),
  /** When the disk will be full at the pace of the given range; null when the data allow no forecast. */
  forecast: z.object({ fullAt: z.string(), bytesPerDay: z.number(), range: z.enum(['24h', '7d']) }).nullable(),
})
export type BoxDfResult = z.infer<typeof boxDf>

/** How many of the reclaimable items are printed. */
const shownMost = 10

export const boxDfCommand = command({
  name: 'box df',
  summary: 'Show what uses the disk, what can be freed, and when it will be full',
  details:
    'OWN is freed when you delete it alone (a VM with its checkpoints, a checkpoint, or an image). SHARED is also used by others, and stays. DISK and MEMORY are its own disk layer and saved memory.',
  examples: ['croft box df', 'croft box df --json'],
  args: z.object({}),
  result: boxDf,
  touches: 'reads',
  async run({ box, host }) {
    const now = new Date()
    const [use, { diskTotalBytes: total, diskFreeBytes }] = await Promise.all([readDiskUse(box), host.usage()])
    const { parts, allBytes, sharedBytes } = use
    return {
      parts,
      croftBytes: allBytes,
      sharedBytes,
      diskTotalBytes: total,
      diskFreeBytes,
      reclaimable: reclaimable(box.store.state, use, box.settings.defaults.image, now),
      forecast: await diskForecast(host.history, diskFreeBytes, now),
    }
  },
  print(result, view) {
    const { parts, reclaimable } = result
    const sections = [
      parts.length ? partLines(parts, view) : 'No VMs and no images.\n',
      reclaimable.length ? reclaimableLines(reclaimable, view) : '',
      totalLines(result, view),
    ]
    return sections.filter(Boolean).join('\n')
  },
  names: ({ parts }) => parts.flatMap(({ kind, name }) => (kind === 'vm' ? name : [])),
})

const partLines = (parts: readonly PartResult[], view: View): string => {
  const size = (count: number) => (count > 0 ? bytes(count) : '–')
  return table(
    parts,
    [
      {
        title: 'NAME',
        value: (part) => `${isHead(part) ? '' : '  '}${part.kind === 'memory' ? 'memory' : part.name}`,
        dress: (part) => (isHead(part) ? 'bold' : undefined),
      },
      { title: 'OWN', value: ({ ownBytes }) => size(ownBytes), right: true },
      { title: 'SHARED', value: ({ sharedBytes }) => size(sharedBytes), right: true },
      {
        title: 'DISK',
        value: ({ kind, layerBytes }) => (kind === 'vm' && layerBytes === 0 ? 'gone' : size(layerBytes)),
        right: true,
      },
      {
        title: 'MEMORY',
        value: ({ kind, savedMemoryBytes: saved }) => (kind === 'memory' && saved === 0 ? 'gone' : size(saved)),
        right: true,
      },
      { title: 'WHAT', value: (part) => whatIs(part, view.now) },
    ],
    view,
  )
}

const isHead = ({ id, group }: PartResult): boolean => id === group

function whatIs({ kind, createdAt }: PartResult, now: Date): string {
  if (kind === 'vm') return 'VM'
  if (kind === 'memory') return 'its memory while asleep'
  if (kind === 'golden') return 'golden checkpoint'
  if (kind === 'spare') return 'for the next new VM'
  return `${kind}, ${ago(createdAt, now)}`
}

function reclaimableLines(all: BoxDfResult['reclaimable'], view: View): string {
  const shown = all.slice(0, shownMost)
  const rows = table(
    shown,
    [
      { title: 'AT LEAST', value: (each) => bytes(each.bytes), right: true },
      { title: 'FREED BY', value: (each) => each.command },
      { title: 'WHY', value: (each) => each.why },
    ],
    view,
  )
  const more = all.length - shown.length
  return more > 0 ? `${rows}${style(view, 'dim', `and ${more} more: ${view.croft} box df --json`)}\n` : rows
}

function totalLines(result: BoxDfResult, view: View): string {
  const { croftBytes, sharedBytes, diskTotalBytes: total, diskFreeBytes, forecast } = result
  return facts(
    [
      ['Croft', `${bytes(croftBytes)}, of which ${bytes(sharedBytes)} is shared and counted once`],
      ['box', `${bytes(total - diskFreeBytes)} of ${bytes(total)}, ${bytes(diskFreeBytes)} free`],
      ['forecast', forecast ? forecastInWords(forecast, view.now) : undefined],
    ],
    view,
  )
}
