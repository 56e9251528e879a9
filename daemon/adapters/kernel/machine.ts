import { statfs } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import type { Config } from '../../config.ts'
import type { BoxSettings } from '../../core/box.ts'
import { parseSubnet } from '../../core/vm/identity.ts'
import { CroftError } from '../../lib/error.ts'
import { readXml } from '../../lib/read-xml.ts'
import type { Libvirt } from '../libvirt/index.ts'
import { cpuCgroups } from './cgroups.ts'
import { readsTakeMemory } from './untouched-memory.ts'

/** On a box with less memory, none is held by a VM that nobody has asked for. */
const sparesFromMiB = 8000

/** What a VM may have and gets by default on this box; see docs/decisions.md, "VMs have no size". */
export async function boxSettings(config: Config): Promise<BoxSettings> {
  const { blocks, bsize } = await statfs(config.folder)
  const boxMiB = Math.floor(totalmem() / 2 ** 20)
  return {
    subnet: parseSubnet(config.network.subnet),
    defaults: {
      image: config.defaults.image,
      cpus: config.defaults.cpus ?? Math.min(4, cpus().length),
      memoryMiB: config.defaults.memoryMiB ?? Math.min(4096, Math.floor(boxMiB / 2)),
      diskGiB: 1,
      sleepAfter: config.defaults.sleepAfter,
    },
    most: { cpus: cpus().length, memoryMiB: boxMiB, diskGiB: Math.max(1, Math.floor((blocks * bsize) / 2 ** 30)) },
    cpuCgroups: await cpuCgroups(),
    readsTakeMemory: readsTakeMemory(),
    accelerator: config.accelerator,
    golden: config.golden,
    spares: config.golden ? (config.spares ?? (boxMiB >= sparesFromMiB ? 1 : 0)) : 0,
    bootTimeoutMs: 240_000,
  }
}

/** Memory that no VM is let in or kept awake for: what the box itself needs to be reached and steered. Bytes. @param total all of it */
export const reserveBytes = ({ reserve: { memoryMiB } }: Pick<Config, 'reserve'>, total: number): number =>
  memoryMiB === undefined ? Math.min(2 ** 31, Math.max(2 ** 28, total / 20)) : memoryMiB * 2 ** 20

export interface Machine {
  /** Path of QEMU. */
  emulator: string
  /** The versioned machine type behind "q35" here, such as pc-q35-7.2. */
  machine: string
}

/** @throws CroftError `unavailable` without QEMU */
export async function findMachine(libvirt: Libvirt): Promise<Machine> {
  const text = await libvirt.call.domainCapabilities(null, 'x86_64', 'q35', 'qemu')
  const found = readXml(text)
  const emulator = found.first('path')?.text
  const machine = found.first('machine')?.text
  if (emulator && machine) return { emulator, machine }
  throw new CroftError('unavailable', 'libvirt knows no QEMU for x86_64 here.', {
    hint: 'apt-get install qemu-system-x86',
  })
}
