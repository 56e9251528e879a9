import { chmod, chown, mkdir, readdir, rm, stat, utimes } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import type { Files } from '../box/ports.ts'
import { run } from './run.ts'

/** The user and group that QEMU runs as. */
export interface QemuUser {
  uid: number
  gid: number
}

/** The folders whose entries are named by the id of what they belong to. */
const folders = ['layers', 'memory', 'images', 'vms', 'building']

/** @param folder the state folder. Of what is in it, QEMU owns the disks that VMs write and nothing else. */
export function makeFiles(folder: string, qemu: QemuUser): Files {
  return {
    async createDisk(layer, parent, diskGiB) {
      const path = join(folder, layer.file)
      await mkdir(dirname(path), { recursive: true, mode: 0o711 })
      // Relative to the file itself: the state folder can be moved.
      const backing = ['-u', '-b', relative(dirname(layer.file), parent.file), '-F', 'qcow2']
      const options = ['-o', 'extended_l2=on,cluster_size=128k']
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, ...backing, path, `${diskGiB}G`])
      await chown(path, qemu.uid, qemu.gid)
      await chmod(path, 0o600)
      const made = new Date(layer.createdAt)
      await utimes(path, made, made)
    },
    async freeze(path) {
      // QEMU may read it and never change it: owned by root, shared through its group.
      await chown(join(folder, path), 0, qemu.gid)
      await chmod(join(folder, path), 0o440)
    },
    async growDisk(layer, diskGiB) {
      await run('qemu-img', ['resize', '-q', '-f', 'qcow2', join(folder, layer.file), `${diskGiB}G`])
    },
    async remove(path) {
      await rm(join(folder, path), { recursive: true, force: true })
    },
    async changedAt(path) {
      return (await stat(join(folder, path))).mtime
    },
    async usage(path) {
      const found = await stat(join(folder, path)).catch(() => undefined)
      if (!found) return 0
      if (!found.isDirectory()) return found.blocks * 512
      const inside = await readdir(join(folder, path))
      const sizes = await Promise.all(inside.map((name) => this.usage(join(path, name))))
      return sizes.reduce((sum, size) => sum + size, 0)
    },
    async list() {
      const lists = folders.map(async (kind) => {
        const names = await readdir(join(folder, kind)).catch(() => [])
        return names.map((name) => ({ id: basename(name).replace(/\..*$/, ''), path: join(kind, name) }))
      })
      return (await Promise.all(lists)).flat()
    },
  }
}

/** @throws CroftError `program-failed` when there is no such user: libvirt's QEMU driver is not installed */
export async function findQemuUser(name = 'libvirt-qemu'): Promise<QemuUser> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await run('id', [flag, name])).stdout.trim())),
  )
  return { uid: uid!, gid: gid! }
}
