import { chmod, chown, mkdir, rm, stat } from 'node:fs/promises'
import type { Disks } from '../box/ports.ts'
import { diskPath, vmFolder } from '../libvirt/domain-xml.ts'
import type { Vm } from '../store/index.ts'
import { run } from './run.ts'

/** The user and group that QEMU runs as. */
export interface QemuUser {
  uid: number
  gid: number
}

/** VM folders and their qcow2 overlays, under `<folder>/vms/<id>/`. QEMU owns the overlay and nothing else. */
export function makeDisks(folder: string, qemu: QemuUser): Disks {
  const size = (vm: Vm) => `${vm.limits.diskGiB}G`
  return {
    async create(vm, layerFile) {
      await mkdir(vmFolder(folder, vm), { recursive: true, mode: 0o711 })
      const path = diskPath(folder, vm)
      const backing = ['-b', `${folder}/${layerFile}`, '-F', 'qcow2']
      await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', 'extended_l2=on,cluster_size=128k', ...backing, path])
      await chown(path, qemu.uid, qemu.gid)
      await chmod(path, 0o600)
    },
    async grow(vm) {
      await run('qemu-img', ['resize', '-q', '-f', 'qcow2', diskPath(folder, vm), size(vm)])
    },
    async remove(vm) {
      await rm(vmFolder(folder, vm), { recursive: true, force: true })
    },
    async usage(vm) {
      const { blocks } = await stat(diskPath(folder, vm))
      return blocks * 512
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
