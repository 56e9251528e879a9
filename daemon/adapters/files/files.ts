import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join, relative, resolve } from 'node:path'
import type { Files } from '../../core/interfaces/files.ts'
import { runProgram } from '../../lib/process/run.ts'

/** The user and group that QEMU runs as. */
export interface QemuUser {
  uid: number
  gid: number
}

/** The folders whose entries are named after the id of the record that they belong to. */
const folders = ['layers', 'memory', 'bases', 'images', 'vms', 'building']

/**
 * Makes the folders for guests' saved memory. Only root may enter `memory`: libvirt opens these files itself and passes
 * them to QEMU open. QEMU itself opens the memory bases.
 * @param folder the state folder
 */
export async function makeMemoryFolders(folder: string): Promise<void> {
  for (const [name, mode] of [
    ['memory', 0o700],
    ['bases', 0o711],
  ] as const) {
    const path = join(folder, name)
    await mkdir(path, { recursive: true })
    await chmod(path, mode)
  }
}

/** @param folder the state folder. QEMU owns nothing in it except the disks that VMs write. */
export function makeFiles(folder: string, qemu: QemuUser): Files {
  return {
    async createDisk(layer, parent, diskGiB) {
      const path = join(folder, layer.file)
      await mkdir(dirname(path), { recursive: true, mode: 0o711 })
      // The backing file's path is relative to the file itself, so that the state folder can be moved.
      const backing = ['-u', '-b', relative(dirname(layer.file), parent.file), '-F', 'qcow2']
      const options = ['-o', 'extended_l2=on,cluster_size=128k']
      await runProgram('qemu-img', ['create', '-q', '-f', 'qcow2', ...options, ...backing, path, `${diskGiB}G`])
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
    async lend(path) {
      await chown(join(folder, path), qemu.uid, qemu.gid)
      await chmod(join(folder, path), 0o600)
    },
    async backing(path) {
      const name = await backingName(join(folder, path))
      return name && join(dirname(path), name)
    },
    async rebase(path, base, signal) {
      const onto = ['-b', relative(dirname(path), base), '-F', 'qcow2']
      // Blocks that the guest has discarded take no room in the merged layer either.
      const image = `driver=qcow2,discard=unmap,detect-zeroes=unmap,file.driver=file,file.filename=${join(folder, path).replaceAll(',', ',,')}`
      await runLong('qemu-img', ['rebase', '-q', '--image-opts', ...onto, image], signal)
    },
    async repair(path) {
      await runLong('qemu-img', ['check', '-q', '-f', 'qcow2', '-r', 'leaks', join(folder, path)])
    },
    async adopt(from, to, backing) {
      const source = join(folder, from)
      if (backing !== undefined) {
        const onto = backing === null ? ['-b', ''] : ['-b', relative(dirname(to), backing), '-F', 'qcow2']
        await runProgram('qemu-img', ['rebase', '-q', '-u', '-f', 'qcow2', ...onto, source])
      }
      await mkdir(dirname(join(folder, to)), { recursive: true, mode: 0o711 })
      await this.freeze(from)
      await syncFile(source)
      await this.replace(from, to)
    },
    async write(path, text) {
      await mkdir(dirname(join(folder, path)), { recursive: true, mode: 0o700 })
      await writeFile(join(folder, path), text, { mode: 0o600 })
    },
    async copy(from, to, signal) {
      const how = ['--reflink=auto', '--sparse=always']
      await runLong('cp', [...how, join(folder, from), join(folder, to)], signal)
    },
    async sync(path) {
      await syncFile(join(folder, path))
    },
    async replace(from, to) {
      await rename(join(folder, from), join(folder, to))
      await syncFile(join(folder, dirname(to)))
    },
    async growDisk(layer, diskGiB) {
      await runProgram('qemu-img', ['resize', '-q', '-f', 'qcow2', join(folder, layer.file), `${diskGiB}G`])
    },
    async remove(path) {
      await rm(join(folder, path), { recursive: true, force: true })
    },
    async isWritten({ file, createdAt }) {
      // `createDisk` set this time, which file systems keep to about a millisecond.
      return Math.abs((await stat(join(folder, file))).mtimeMs - Date.parse(createdAt)) > 5
    },
    async exists(path) {
      return (await lstat(resolve(folder, path)).catch(() => undefined)) !== undefined
    },
    async usage(path) {
      // Links are not followed: in an image that is being built, they may lead to files of the box.
      const found = await lstat(join(folder, path)).catch(() => undefined)
      if (!found) return 0
      if (!found.isDirectory()) return found.blocks * 512
      const inside = await readdir(join(folder, path)).catch(() => [])
      const sizes = await Promise.all(inside.map((name) => this.usage(join(path, name))))
      return sizes.reduce((sum, size) => sum + size, 0)
    },
    async freeBytes() {
      const { bavail, bsize } = await statfs(folder)
      return bavail * bsize
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

/** Runs a program whose time depends on the size of a disk. It does not outlive the daemon. */
async function runLong(program: string, args: readonly string[], signal?: AbortSignal): Promise<void> {
  const timeoutMs = 24 * 60 * 60_000
  await runProgram('setpriv', ['--pdeathsig', 'KILL', program, ...args], { timeoutMs, signal })
}

/** Flushes a file to disk, or a folder, which makes the names in it durable. */
async function syncFile(path: string): Promise<void> {
  const file = await open(path)
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

/**
 * Returns the backing file that a qcow2 file's header names: the name's offset is at 8, its length at 16
 * (docs/interop/qcow2.txt of QEMU).
 */
async function backingName(path: string): Promise<string | undefined> {
  const file = await open(path)
  try {
    const { buffer: header } = await file.read(Buffer.alloc(20), 0, 20, 0)
    const length = header.readUInt32BE(16)
    if (length === 0) return undefined
    const { buffer: name } = await file.read(Buffer.alloc(length), 0, length, Number(header.readBigUInt64BE(8)))
    return name.toString()
  } finally {
    await file.close()
  }
}

/** @throws CroftError `program-failed` when there is no such user: libvirt's QEMU driver is not installed */
export async function findQemuUser(name = 'libvirt-qemu'): Promise<QemuUser> {
  const [uid, gid] = await Promise.all(
    ['-u', '-g'].map(async (flag) => Number((await runProgram('id', [flag, name])).stdout.trim())),
  )
  return { uid: uid!, gid: gid! }
}
