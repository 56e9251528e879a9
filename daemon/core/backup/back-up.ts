import { asCroftError } from '../../lib/error.ts'
import { type BackupRecord, filterRecord, type Vm } from '../../store/index.ts'
import { type Box, findVm, layerOf, type Report, stateOf } from '../box.ts'
import { take } from '../checkpoint/take.ts'
import type { BackupSubject, Saved } from '../interfaces/backup-store.ts'
import { onLayer } from '../layer/compaction.ts'
import { collectGarbage } from '../layer/garbage.ts'
import { acquire, release, whileRead } from '../layer/holds.ts'
import { exclusively } from '../operation/exclusively.ts'
import { filesOf, manifestOf, manifestPath } from './manifest.ts'

/** One backup at a time: more would only share the line to the target. */
const lock = 'backup'

/**
 * Backs up a VM's disk as of now. A running guest's file systems are frozen for that instant; a sleeping or stopped VM
 * stays so. Its layers are sent as they are: those that an earlier backup has sent are not read again.
 * @throws CroftError `not-found`, `conflict`, `disk-full`, `unavailable`; the record of the VM says why, too
 */
export async function backUpVm(box: Box, name: string, report: Report, signal: AbortSignal): Promise<BackupRecord> {
  const { id } = findVm(box.store.state, name)
  return box.locks.run(lock, () =>
    recorded(box, id, async (at) => {
      const { layer, vm, done } = await instantOf(box, id, report)
      try {
        return await onLayer(box, layer, async () => {
          const manifest = manifestOf(box.store.state, vm, layer, at)
          const ids = manifest.layers.map((each) => each.id)
          return whileRead(box, ids, async () => {
            await box.files.write(manifestPath, `${JSON.stringify(manifest, null, 2)}\n`)
            const paths = [manifestPath, ...filesOf(manifest)]
            return send(box, { vm: id, name: vm.name }, paths, report, signal)
          })
        })
      } finally {
        await done()
      }
    }),
  )
}

/**
 * Finds a layer that has a VM's disk as of now and is not written any more. Where the disk has been written since the
 * last checkpoint, it takes one, which exists only until `done`.
 */
async function instantOf(
  box: Box,
  id: string,
  report: Report,
): Promise<{ layer: string; vm: Vm; done(): Promise<void> }> {
  return exclusively(box, id, async () => {
    const vm = findVm(box.store.state, id)
    const disk = layerOf(box.store.state, vm.disk)
    const stands = ['asleep', 'stopped', 'crashed'].includes(stateOf(box, vm))
    if (stands && disk.parent !== null && !(await box.files.isWritten(disk)))
      return { layer: disk.parent, vm, done: async () => {} }
    const checkpoint = await take(box, id, { kind: 'copy', label: 'backup', memory: false }, report)
    acquire(box, checkpoint.id)
    return {
      layer: checkpoint.layer,
      vm,
      async done() {
        release(box, checkpoint.id)
        await collectGarbage(box)
      },
    }
  })
}

async function send(
  box: Box,
  of: BackupSubject,
  paths: readonly string[],
  report: Report,
  signal: AbortSignal,
): Promise<Saved> {
  const subject = of === 'box' ? 'the box' : of.name
  report({ subject, step: 'looking at its last backup', fraction: 0.1 })
  const { instance } = box.store.state
  const isSame = (other: BackupSubject) => other === of || (other !== 'box' && of !== 'box' && other.vm === of.vm)
  const earlier = (await box.backups.list(signal)).findLast((each) => each.instance === instance && isSame(each.of))
  const onProgress = (fraction: number) => report({ subject, step: 'sending its disk', fraction: 0.1 + 0.9 * fraction })
  return box.backups.save(of, instance, paths, earlier?.id, onProgress, signal)
}

/** Does a backup, and records how it went. @param key a VM's id, or `box` */
async function recorded(box: Box, key: string, work: (at: string) => Promise<Saved>): Promise<BackupRecord> {
  const at = new Date().toISOString()
  try {
    const { addedBytes, bytes } = await work(at)
    return await record(box, key, { at, addedBytes, bytes, triedAt: at, error: null })
  } catch (error) {
    const { code, message } = asCroftError(error)
    if (code !== 'cancelled') await record(box, key, { triedAt: at, error: message })
    throw error
  }
}

/** Changes what is known of the backups of a VM, by its id, or of the `box`. @returns all that is known then */
export async function record(box: Box, key: string, change: Partial<BackupRecord>): Promise<BackupRecord> {
  const none = { at: null, addedBytes: 0, bytes: 0, triedAt: new Date().toISOString(), error: null, provenAt: null }
  const { backups } = box.store.state
  const after: BackupRecord = { ...none, ...(key === 'box' ? backups.box : backups.vms[key]), ...change }
  await box.store.update((state) => {
    const { backups } = state
    if (key === 'box') return { ...state, backups: { ...backups, box: after } }
    const vms = filterRecord({ ...backups.vms, [key]: after }, (_, id) => id in state.vms)
    return { ...state, backups: { ...backups, vms } }
  })
  return after
}

/**
 * Backs up the box itself, without its VMs' disks: its people, shares, keys, certificates and history.
 * @throws CroftError `unavailable`
 */
export async function backUpBox(box: Box, report: Report, signal: AbortSignal): Promise<BackupRecord> {
  return box.locks.run(lock, () =>
    recorded(box, 'box', async () => {
      const hostKeys = Object.keys(box.store.state.vms).flatMap((id) =>
        ['host_ed25519', 'host_ed25519.pub'].map((file) => `vms/${id}/${file}`),
      )
      const paths = ['state.json', 'keys', 'caddy', 'activity.jsonl', ...hostKeys, box.settings.configPath]
      const there = await Promise.all(paths.map((path) => box.files.exists(path)))
      return send(
        box,
        'box',
        paths.filter((_, i) => there[i]),
        report,
        signal,
      )
    }),
  )
}
