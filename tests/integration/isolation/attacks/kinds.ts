import * as f from '../frames.ts'
import { type Scene, servicePort } from '../scene.ts'
import { type Attack, direct, toAll } from './attack.ts'

const everybody6 = 'ff020000000000000000000000000001'
const everybody6Mac = '33:33:00:00:00:01'
const lldp = '01:80:c2:00:00:0e'
const mallory6 = 'fe800000000000000000000000000066'
const box6 = (scene: Scene) => {
  const mac = f.macBytes(scene.box.mac)
  return `fe80000000000000${(mac[0]! ^ 2).toString(16).padStart(2, '0')}${mac.toString('hex', 1, 3)}fffe${mac.toString('hex', 3)}`
}
/** Frames that are neither plain IPv4 nor ARP. */
export const kinds: Attack[] = [
  {
    name: 'a VLAN tag',
    aim: 'tap',
    frames: (s, t) => [direct(s, f.vlanTag(5, f.type.ip, f.udp(s.mallory.ip, s.victim.ip, 9, t)), f.type.vlan)],
  },
  {
    name: 'a VLAN tag with priority only, which the box would take for no tag',
    aim: 'service',
    frames: (s, t) => [
      f.ethernet(
        s.mallory.mac,
        s.box.mac,
        f.type.vlan,
        f.vlanTag(0, f.type.ip, f.udp(s.victim.ip, s.box.ip, servicePort, t)),
      ),
    ],
  },
  {
    name: 'two VLAN tags',
    aim: 'victim',
    frames: (s, t) => [
      direct(
        s,
        f.vlanTag(5, f.type.vlan, f.vlanTag(6, f.type.ip, f.udp(s.mallory.ip, s.victim.ip, 9, t))),
        f.type.qinq,
      ),
    ],
  },
  {
    name: 'a tagged ARP reply',
    aim: 'tap',
    frames: (s, t) => [
      direct(
        s,
        f.vlanTag(
          0,
          f.type.arp,
          f.arp({ mac: s.mallory.mac, ip: s.box.ip, toMac: s.victim.mac, toIp: s.victim.ip }, t),
        ),
        f.type.vlan,
      ),
    ],
  },
  {
    name: 'an IPv6 neighbour advertisement',
    aim: 'victim',
    frames: (s, t) => [
      direct(s, f.icmp6(mallory6, everybody6, 136, Buffer.concat([Buffer.alloc(20), Buffer.from(t)])), f.type.ipv6),
    ],
  },
  {
    name: 'an IPv6 router advertisement',
    aim: 'victim',
    frames: (s, t) => [
      f.ethernet(
        s.mallory.mac,
        everybody6Mac,
        f.type.ipv6,
        f.icmp6(mallory6, everybody6, 134, Buffer.concat([Buffer.alloc(12), Buffer.from(t)])),
      ),
    ],
  },
  {
    name: 'an IPv6 packet to everybody',
    aim: 'victim',
    frames: (s, t) => [f.ethernet(s.mallory.mac, everybody6Mac, f.type.ipv6, f.udp6(mallory6, everybody6, 9, t))],
  },
  {
    name: "an IPv6 packet to the box's link-local address",
    aim: 'box',
    frames: (s, t) => [f.ethernet(s.mallory.mac, s.box.mac, f.type.ipv6, f.udp6(mallory6, box6(s), servicePort, t))],
  },
  { name: 'an unknown kind of frame', aim: 'victim', frames: (s, t) => [toAll(s, Buffer.from(t), 0x88b5)] },
  {
    name: 'MPLS',
    aim: 'victim',
    frames: (s, t) => [
      direct(s, Buffer.concat([Buffer.from([0, 1, 1, 64]), f.udp(s.mallory.ip, s.victim.ip, 9, t)]), 0x8847),
    ],
  },
  {
    name: 'PPPoE',
    aim: 'victim',
    frames: (s, t) => [
      direct(
        s,
        Buffer.concat([Buffer.from([0x11, 0, 0, 1, 0, 60, 0, 0x21]), f.udp(s.mallory.ip, s.victim.ip, 9, t)]),
        0x8864,
      ),
    ],
  },
  {
    name: 'IP in an 802.3 frame with LLC and SNAP',
    aim: 'victim',
    frames: (s, t) => [
      f.llc(
        s.mallory.mac,
        s.victim.mac,
        Buffer.concat([Buffer.from('aaaa030000000800', 'hex'), f.udp(s.mallory.ip, s.victim.ip, 9, t)]),
      ),
    ],
  },
  {
    name: 'a spanning tree frame, as from a better root bridge',
    aim: 'tap',
    frames: (s, t) => [
      f.llc(
        s.mallory.mac,
        '01:80:c2:00:00:00',
        Buffer.concat([Buffer.from('424203', 'hex'), Buffer.alloc(35), Buffer.from(t)]),
      ),
    ],
  },
  {
    name: 'a packet for the box in a frame for bridges (LLDP)',
    aim: 'service',
    frames: (s, t) => [f.ethernet(s.mallory.mac, lldp, f.type.ip, f.udp(s.mallory.ip, s.box.ip, servicePort, t))],
  },
]
