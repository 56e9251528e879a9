import * as f from '../frames.ts'
import { type Scene, servicePort } from '../scene.ts'
import { type Attack, toAll } from './attack.ts'

const other = '02:00:00:00:00:66'

export const arpClaims: Attack[] = [
  {
    name: 'an ARP reply that gives the victim the wrong MAC for the box',
    aim: 'victim',
    frames: ({ mallory, victim, box }, t) => [
      f.ethernet(
        mallory.mac,
        victim.mac,
        f.type.arp,
        f.arp({ mac: mallory.mac, ip: box.ip, toMac: victim.mac, toIp: victim.ip }, t),
      ),
    ],
  },
  {
    name: "an ARP reply that gives the box the wrong MAC for the victim's address",
    aim: 'box',
    frames: ({ mallory, victim, box }, t) => [
      f.ethernet(
        mallory.mac,
        box.mac,
        f.type.arp,
        f.arp({ mac: mallory.mac, ip: victim.ip, toMac: box.mac, toIp: box.ip }, t),
      ),
    ],
  },
  {
    name: "an ARP announcement of the victim's address",
    aim: 'box',
    frames: (s, t) => [
      toAll(s, f.arp({ operation: 'request', mac: s.mallory.mac, ip: s.victim.ip, toIp: s.victim.ip }, t), f.type.arp),
    ],
  },
  {
    name: "an ARP announcement of the box's address",
    aim: 'victim',
    frames: (s, t) => [toAll(s, f.arp({ mac: s.mallory.mac, ip: s.box.ip, toIp: s.box.ip }, t), f.type.arp)],
  },
  {
    name: "an ARP reply from Mallory's address that names the victim's MAC",
    aim: 'box',
    frames: ({ mallory, victim, box }, t) => [
      f.ethernet(mallory.mac, box.mac, f.type.arp, f.arp({ mac: victim.mac, ip: mallory.ip, toIp: box.ip }, t)),
    ],
  },
  {
    name: 'an ARP question for the victim',
    aim: 'victim',
    frames: (s, t) => [
      toAll(s, f.arp({ operation: 'request', mac: s.mallory.mac, ip: s.mallory.ip, toIp: s.victim.ip }, t), f.type.arp),
    ],
  },
  {
    name: 'an ARP probe for the victim, from no address',
    aim: 'victim',
    frames: (s, t) => [
      toAll(s, f.arp({ operation: 'request', mac: s.mallory.mac, ip: '0.0.0.0', toIp: s.victim.ip }, t), f.type.arp),
    ],
  },
  {
    name: 'an ARP question for another address of the box',
    aim: 'box',
    frames: (s, t) => [
      toAll(
        s,
        f.arp({ operation: 'request', mac: s.mallory.mac, ip: s.mallory.ip, toIp: s.box.otherIp }, t),
        f.type.arp,
      ),
    ],
  },
  {
    name: 'RARP for the victim',
    aim: 'box',
    frames: (s, t) => [toAll(s, f.arp({ mac: s.victim.mac, ip: s.victim.ip, toIp: s.victim.ip }, t), f.type.rarp)],
  },
]

type Sender = [whose: string, mac: (scene: Scene) => string, ip: (scene: Scene) => string]

const neighbourly: Sender[] = [
  ["the victim's address", (s) => s.mallory.mac, (s) => s.victim.ip],
  ["the box's MAC and address", (s) => s.box.mac, (s) => s.box.ip],
  ['an invented MAC', () => other, (s) => s.mallory.ip],
  ["an outside host's address", (s) => s.mallory.mac, (s) => s.outside.ip],
  ["a stranger's address", (s) => s.mallory.mac, () => '203.0.113.7'],
  ['no address', (s) => s.mallory.mac, () => '0.0.0.0'],
]

/** The bridge would look for the victim where its MAC was seen last, at Mallory's own port: no use sending these there. */
const asVictim: Sender[] = [
  ["the victim's MAC", (s) => s.victim.mac, (s) => s.mallory.ip],
  ["the victim's MAC and address", (s) => s.victim.mac, (s) => s.victim.ip],
]

/** Packets with an address that isn't Mallory's. */
export const spoofed: Attack[] = [
  ...[...neighbourly, ...asVictim].map(
    ([whose, mac, ip]): Attack => ({
      name: `a packet to the box with ${whose}`,
      aim: 'box',
      frames: (s, t) => [f.ethernet(mac(s), s.box.mac, f.type.ip, f.udp(ip(s), s.box.ip, servicePort, t))],
    }),
  ),
  ...[...neighbourly, ...asVictim].map(
    ([whose, mac, ip]): Attack => ({
      name: `a packet to the outside with ${whose}`,
      aim: 'box',
      frames: (s, t) => [f.ethernet(mac(s), s.box.mac, f.type.ip, f.udp(ip(s), s.outside.ip, 9, t))],
    }),
  ),
  ...neighbourly.map(
    ([whose, mac, ip]): Attack => ({
      name: `a packet to the victim with ${whose}`,
      aim: 'victim',
      frames: (s, t) => [f.ethernet(mac(s), s.victim.mac, f.type.ip, f.udp(ip(s), s.victim.ip, 9, t))],
    }),
  ),
]
