import { CroftError } from '../../lib/error.ts'
import { VIR } from './binding/constants.ts'
import { toCroftError, unavailable } from './binding/errors.ts'
import type { LibvirtEvent } from './binding/event.ts'
import type { Libvirt } from './client.ts'

/** What of a domain's disk is written into a layer beneath it, by paths; whether `top` is the disk itself. */
export interface BlockCommit {
  top: string
  base: string
  isDisk: boolean
}

/**
 * Commits layers of a running domain's disk and waits for the end of that, which libvirt tells by an event. One of the disk
 * itself has the domain turn to `base` when it has made its copy.
 *
 * One that fails or is ended may leave QEMU with `base` open for writing (seen with QEMU 7.2, when `top` is the disk), and
 * the domain can't go on after the next snapshot of its memory, when QEMU opens its layers anew: see `reopenReadOnly`.
 * @param wanted ends it
 * @throws CroftError `cancelled` on the signal, when somebody else ends it or when the domain ends, `conflict` when it fails, `unavailable` when libvirt
 * is lost: the job then goes on
 */
export async function commitBlocks(
  libvirt: Libvirt,
  uuid: string,
  { top, base, isDisk }: BlockCommit,
  wanted?: AbortSignal,
): Promise<void> {
  const flags = isDisk ? VIR.DOMAIN_BLOCK_COMMIT_ACTIVE : VIR.DOMAIN_BLOCK_COMMIT_RELATIVE
  const start = () => libvirt.call.domainBlockCommit(uuid, 'vda', base, top, 0, flags)
  const how = await awaitBlockJob(libvirt, uuid, start, wanted).catch((error) => {
    throw toCroftError(error)
  })
  if (how === 'completed') return
  if (wanted?.aborted || how === 'cancelled' || how === 'stopped')
    throw new CroftError('cancelled', 'Work on a disk was ended with its VM, or for it.')
  throw new CroftError('conflict', 'Work on the disk of the VM did not come to its end.', { details: { reason: how } })
}

/** @returns how it ended */
async function awaitBlockJob(
  libvirt: Libvirt,
  uuid: string,
  start: () => Promise<void>,
  wanted: AbortSignal | undefined,
): Promise<string> {
  const ended = Promise.withResolvers<string>()
  ended.promise.catch(() => {})
  const unwatch = libvirt.onEvent((event) => {
    if (event.type === 'disconnected') ended.reject(unavailable(event.reason))
    const how = endOf(event, uuid)
    if (how === 'ready') {
      const pivoted = libvirt.call.domainBlockJobAbort(uuid, 'vda', VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT)
      // One that is ended at this moment tells so itself.
      pivoted.catch((error) => wanted?.aborted || ended.reject(error))
    } else if (how) ended.resolve(how)
  })
  // A job that has ended meanwhile can't be aborted, and has told so.
  const onWanted = () => libvirt.call.domainBlockJobAbort(uuid, 'vda').catch(() => {})
  try {
    await start()
    wanted?.addEventListener('abort', onWanted, { once: true })
    if (wanted?.aborted) onWanted()
    return await ended.promise
  } finally {
    unwatch()
    wanted?.removeEventListener('abort', onWanted)
  }
}

function endOf(event: LibvirtEvent, uuid: string): string | undefined {
  if (!('uuid' in event) || event.uuid !== uuid) return undefined
  if (event.type === 'block-job') return event.status
  return event.type === 'lifecycle' && event.event === 'stopped' ? 'stopped' : undefined
}

interface BlockNode {
  'node-name': string
  drv: string
  ro: boolean
  image: { filename: string }
}

/**
 * Has a running domain's QEMU open a layer beneath its disk for reading only, as it was before a commit into it that did
 * not come to its end; one that it only reads stays as it is. By QMP's `blockdev-reopen`
 * (https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html), with the names that libvirt gives to nodes.
 * @param layer its path @param beneath the path of the layer beneath that
 */
export async function reopenReadOnly(libvirt: Libvirt, uuid: string, layer: string, beneath: string): Promise<void> {
  const command = async (execute: string, args?: object) => {
    const answer = JSON.parse(
      await libvirt.call.domainMonitorCommand(uuid, JSON.stringify({ execute, arguments: args })),
    )
    if (answer.error) throw refused(`${execute}: ${answer.error.desc}`)
    return answer.return
  }
  const nodes: BlockNode[] = await command('query-named-block-nodes', { flat: true })
  const nodeOf = (path: string) => nodes.find(({ drv, image }) => drv === 'qcow2' && fileOf(image.filename) === path)
  const node = nodeOf(layer)
  if (!node || node.ro) return
  const storage = node['node-name'].replace(/-format$/, '-storage')
  const backing = nodeOf(beneath)?.['node-name']
  if (backing === undefined || !nodes.some((each) => each['node-name'] === storage))
    throw refused(`it names no parts of ${layer}`)
  const options = { driver: 'qcow2', 'node-name': node['node-name'], 'read-only': true, file: storage, backing }
  await command('blockdev-reopen', { options: [options] })
}

/** The file that holds a node: it is told by its path, or in JSON with all that lies beneath it. Pure. */
function fileOf(filename: string): string {
  return filename.startsWith('json:') ? JSON.parse(filename.slice('json:'.length)).file.filename : filename
}

const refused = (reason: string): CroftError =>
  new CroftError('program-failed', 'QEMU did not do what Croft asked for with a disk.', {
    hint: `It says: ${reason}`,
    details: { reason: `QEMU: ${reason}` },
  })
