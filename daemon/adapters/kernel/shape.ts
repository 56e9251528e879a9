import { join } from 'node:path'
import type { Config } from '../../config.ts'
import type { Accelerator, Image, Store } from '../../store/index.ts'
import type { QemuUser } from '../files/files.ts'
import { type BoxShape, devicesText, digest } from '../libvirt/domain-xml.ts'
import type { Libvirt } from '../libvirt/index.ts'
import { probeAccelerator } from './accelerator.ts'
import { findMachine } from './machine.ts'

export interface Shapes {
  /** Returns what the box adds to a domain; the first call finds out whether KVM works. */
  shape(image: Image): Promise<BoxShape>
  /** Probes again which accelerator works, and stores the answer. Undefined while there is no kernel to try it with. */
  probe(): Promise<Accelerator | undefined>
}

export function makeShapes(config: Config, store: Store, libvirt: Libvirt, qemu: QemuUser): Shapes {
  const machine = once(() => findMachine(libvirt))

  async function tryWith(image: Image): Promise<Accelerator> {
    const found = await probeAccelerator(await machine(), join(config.folder, image.kernel))
    await store.update((state) => ({ ...state, accelerator: found }))
    return found
  }
  let trying: Promise<Accelerator> | undefined
  async function probeWith(image: Image): Promise<Accelerator> {
    trying ??= tryWith(image).finally(() => {
      trying = undefined
    })
    return trying
  }

  return {
    async shape(image) {
      const auto = config.accelerator === 'auto'
      const accelerator = auto ? (store.state.accelerator ?? (await probeWith(image))).kind : config.accelerator
      return {
        ...(await machine()),
        instance: store.state.instance,
        accelerator: accelerator === 'kvm' ? 'kvm' : 'tcg',
        devices: digest(devicesText(accelerator === 'kvm' ? 'kvm' : 'tcg')),
        network: config.network.name,
        tapPrefix: config.network.tapPrefix,
        folder: config.folder,
        qemu,
      }
    },
    async probe() {
      if (config.accelerator !== 'auto') {
        return { kind: config.accelerator, why: 'set in the configuration', checkedAt: new Date().toISOString() }
      }
      const image = Object.values(store.state.images).find((each) => each.current)
      return image && probeWith(image)
    },
  }
}

/** Returns a function that runs `work` until it succeeds for the first time, and then keeps that result. */
function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined
  return () => {
    result ??= work().catch((error) => {
      result = undefined
      throw error
    })
    return result
  }
}
