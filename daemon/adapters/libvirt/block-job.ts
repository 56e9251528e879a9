import { CroftError } from '../../lib/error.ts'
import { VIR } from './binding/constants.ts'
import { toCroftError, unavailable } from './binding/errors.ts'
import type { LibvirtEvent } from './binding/event.ts'
import type { Libvirt } from './client.ts'

/**
 * Which layers of a domain's disk are committed into a layer beneath them, by paths; whether `top` is the disk itself.
 */
export interface BlockCommit {
  top: string
  base: string
  isDisk: boolean
}

/**
 * Commits layers of a running domain's disk and waits until that ends, of which libvirt sends an event. When the disk
 * itself is committed, the domain pivots to `base` once the copy is complete.
 *
 * A commit that fails or is cancelled may leave `base` open for writing in QEMU (seen with QEMU 7.2, when `top` is the
 * disk). The domain then can't go on after the next snapshot of its memory, when QEMU opens its layers anew: see
 * `reopenReadOnly`.
 * @param signal cancels the commit
 * @throws CroftError `cancelled` on the signal, when somebody else cancels it or when the domain ends; `conflict` when
 * it fails; `unavailable` when the connection to libvirt is lost, in which case the job goes on
 */
export async function commitBlocks(
  libvirt: Libvirt,
  uuid: string,
  { top, base, isDisk }: BlockCommit,
  signal?: AbortSignal,
): Promise<void> {
  const flags = isDisk ? VIR.DOMAIN_BLOCK_COMMIT_ACTIVE : VIR.DOMAIN_BLOCK_COMMIT_RELATIVE
  const start = () => libvirt.call.domainBlockCommit(uuid, 'vda', base, top, 0, flags)
  const how = await awaitBlockJob(libvirt, uuid, start, signal).catch((error) => {
    throw toCroftError(error)
  })
  if (how === 'completed') return
  if (signal?.aborted || how === 'cancelled' || how === 'stopped')
    throw new CroftError('cancelled', 'Work on a disk was cancelled, or ended with its VM.')
  throw new CroftError('conflict', "Work on the VM's disk failed.", { details: { reason: how } })
}

/** Starts a block job and waits for its end. @returns how it ended */
async function awaitBlockJob(
  libvirt: Libvirt,
  uuid: string,
  start: () => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const ended = Promise.withResolvers<string>()
  ended.promise.catch(() => {})
  const unwatch = libvirt.onEvent((event) => {
    if (event.type === 'disconnected') ended.reject(unavailable(event.reason))
    const how = endOf(event, uuid)
    if (how === 'ready') {
      const pivoted = libvirt.call.domainBlockJobAbort(uuid, 'vda', VIR.DOMAIN_BLOCK_JOB_ABORT_PIVOT)
      // A job that is cancelled at this moment sends its own event.
      pivoted.catch((error) => signal?.aborted || ended.reject(error))
    } else if (how) ended.resolve(how)
  })
  // A job that has just ended can't be aborted, and has sent its event.
  const onWanted = () => libvirt.call.domainBlockJobAbort(uuid, 'vda').catch(() => {})
  try {
    await start()
    signal?.addEventListener('abort', onWanted, { once: true })
    if (signal?.aborted) onWanted()
    return await ended.promise
  } finally {
    unwatch()
    signal?.removeEventListener('abort', onWanted)
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
 * Makes a running domain's QEMU reopen a layer beneath its disk read-only, as it was before an unfinished commit into
 * it. Does nothing if it is read-only already. It uses QMP's `blockdev-reopen`
 * (https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html) and libvirt's node names.
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
    throw refused(`it has no nodes for ${layer}`)
  const options = { driver: 'qcow2', 'node-name': node['node-name'], 'read-only': true, file: storage, backing }
  await command('blockdev-reopen', { options: [options] })
}

/** Returns the file of a node, which QEMU names by path, or as JSON that includes everything beneath it. Pure. */
function fileOf(filename: string): string {
  return filename.startsWith('json:') ? JSON.parse(filename.slice('json:'.length)).file.filename : filename
}

const refused = (reason: string): CroftError =>
  new CroftError('program-failed', 'QEMU refused an operation on a disk.', {
    hint: `It says: ${reason}`,
    details: { reason: `QEMU: ${reason}` },
  })
