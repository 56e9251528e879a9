import * as f from '../frames.ts'
import type { Scene } from '../scene.ts'
import { type Attack, direct, toAll } from './attack.ts'

/** Mallory's question to dnsmasq, as a new client sends it. */
const question =
  (message: (scene: Scene) => f.Dhcp): Attack['frames'] =>
  (scene, token) => [toAll(scene, f.dhcpPacket('0.0.0.0', '255.255.255.255', message(scene), token))]

/** The same, as from a client that has its address. */
const told =
  (message: (scene: Scene) => f.Dhcp): Attack['frames'] =>
  (scene, token) => [scene.viaBox(f.dhcpPacket(scene.mallory.ip, scene.box.ip, message(scene), token))]

const offer = ({ box, mallory, victim }: Scene): f.Dhcp => ({
  kind: 'offer',
  mac: victim.mac,
  address: mallory.ip,
  server: box.ip,
})

export const dhcpAttacks: Attack[] = [
  {
    name: 'a DHCP offer to everybody',
    aim: 'victim',
    frames: (s, t) => [toAll(s, f.dhcpPacket(s.mallory.ip, '255.255.255.255', offer(s), t))],
  },
  {
    name: 'a DHCP offer to the victim',
    aim: 'victim',
    frames: (s, t) => [direct(s, f.dhcpPacket(s.mallory.ip, s.victim.ip, offer(s), t))],
  },
  {
    name: "a DHCP discover for the victim's MAC",
    aim: 'box',
    frames: question(({ victim }) => ({ kind: 'discover', mac: victim.mac })),
  },
  {
    name: "a DHCP request for the victim's MAC and address",
    aim: 'box',
    frames: question(({ victim }) => ({ kind: 'request', mac: victim.mac, address: victim.ip })),
  },
  {
    name: 'a DHCP discover for an invented MAC',
    aim: 'box',
    frames: question(() => ({ kind: 'discover', mac: '52:54:00:66:66:66' })),
  },
  {
    name: "a DHCP release of the victim's lease",
    aim: 'box',
    frames: told(({ victim, box }) => ({ kind: 'release', mac: victim.mac, ip: victim.ip, server: box.ip })),
  },
  {
    name: "a DHCP decline of the victim's address, which would keep it from the victim for ten minutes",
    aim: 'box',
    frames: told(({ victim, box }) => ({ kind: 'decline', mac: victim.mac, address: victim.ip, server: box.ip })),
  },
  {
    name: 'a DHCP question passed on by a relay',
    aim: 'box',
    frames: told(({ mallory, outside }) => ({ kind: 'discover', mac: mallory.mac, relay: outside.ip })),
  },
  {
    name: "a DHCP question in two fragments, the victim's MAC in the second",
    aim: 'box',
    frames: (s, t) =>
      f
        .udpInTwo('0.0.0.0', '255.255.255.255', 67, f.dhcp({ kind: 'discover', mac: s.victim.mac }, t), 32)
        .map((packet) => toAll(s, packet)),
  },
]
