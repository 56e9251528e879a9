import { statfs } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import type { Config } from '../../config.ts'
import type { BoxSettings } from '../../core/box.ts'
import { parseSubnet } from '../../core/vm/identity.ts'
import { CroftError } from '../../lib/error.ts'
import { readXml } from '../../lib/text/read-xml.ts'
import type { Libvirt } from '../libvirt/index.ts'
import { cpuCgroups } from './cgroups.ts'
import { readsTakeMemory } from './untouched-memory.ts'

/** A box with less memory keeps no spares: none of its memory is for VMs that nobody has asked for. */
const sparesFromMiB = 8000

/**
 * Returns what VMs get by default on this box, and the most that they may have; see
 * docs/decisions/0011-vms-have-no-size.md.
 * @param configPath where the configuration was read from
 */
export async function boxSettings(config: Config, configPath: string): Promise<BoxSettings> {
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
      dozeAfter: config.defaults.dozeAfter,
    },
    most: { cpus: cpus().length, memoryMiB: boxMiB, diskGiB: Math.max(1, Math.floor((blocks * bsize) / 2 ** 30)) },
    cpuCgroups: await cpuCgroups(),
    readsTakeMemory: readsTakeMemory(),
    accelerator: config.accelerator,
    golden: config.golden,
    memoryLayers: config.memoryLayers,
    spares: config.golden ? (config.spares ?? (boxMiB >= sparesFromMiB ? 1 : 0)) : 0,
    configPath,
    bootTimeoutMs: 240_000,
  }
}

/**
 * Returns the bytes of memory that are kept free of VMs, so that the box itself stays reachable and manageable.
 * @param total all of the box's memory, in bytes
 */
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
  throw new CroftError('unavailable', 'libvirt finds no QEMU for x86_64 on this box.', {
    hint: 'apt-get install qemu-system-x86',
  })
}
