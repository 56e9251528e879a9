import { broadcast, ethernet, type } from '../frames.ts'
import type { Place, Scene } from '../scene.ts'

/** What Mallory tries with single frames. */
export interface Attack {
  name: string
  /** Where it comes when nothing holds it back. */
  aim: Place
  frames: (scene: Scene, token: string) => Buffer[]
}

/** From Mallory straight to the victim. */
export const direct = (scene: Scene, packet: Buffer, kind = type.ip) =>
  ethernet(scene.mallory.mac, scene.victim.mac, kind, packet)

/** From Mallory to everybody. */
export const toAll = (scene: Scene, packet: Buffer, kind = type.ip) =>
  ethernet(scene.mallory.mac, broadcast, kind, packet)

/** The last address of the VMs' network. */
export const broadcastIp = (scene: Scene) => scene.box.ip.replace(/0\.1$/, '255.255')
