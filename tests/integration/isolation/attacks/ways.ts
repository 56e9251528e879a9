import * as f from '../frames.ts'
import { type Scene, servicePort, webPorts } from '../scene.ts'
import { type Attack, broadcastIp, direct, toAll } from './attack.ts'

/** Past the box to the outside, as what Mallory isn't. */
export const outwards: Attack[] = [
  {
    name: 'a packet to a link-local address, where clouds keep metadata',
    aim: 'outside',
    frames: (s, t) => [s.viaBox(f.udp(s.mallory.ip, s.outside.metadata, 80, t))],
  },
  {
    name: 'a packet that connection tracking refuses, and NAT with it',
    aim: 'outside',
    frames: (s, t) => [s.viaBox(f.tcp(s.mallory.ip, s.outside.ip, 80, f.tcpFlag.syn | f.tcpFlag.fin, t))],
  },
  {
    name: "a fragment with the victim's address",
    aim: 'outside',
    frames: (s, t) => f.udpInTwo(s.victim.ip, s.outside.ip, 9, t.padStart(64), 32).map((packet) => s.viaBox(packet)),
  },
]

/** To the victim. */
export const neighbour: Attack[] = [
  {
    name: "a packet straight to the victim's MAC",
    aim: 'victim',
    frames: (s, t) => [direct(s, f.udp(s.mallory.ip, s.victim.ip, 9, t))],
  },
  {
    name: 'a packet to the victim through the box',
    aim: 'victim',
    frames: (s, t) => [s.viaBox(f.udp(s.mallory.ip, s.victim.ip, 9, t))],
  },
  {
    name: 'a ping to the victim through the box',
    aim: 'victim',
    frames: (s, t) => [s.viaBox(f.echoRequest(s.mallory.ip, s.victim.ip, t))],
  },
  {
    name: 'a packet to the victim that looks like an answer',
    aim: 'victim',
    frames: (s, t) => [s.viaBox(f.tcp(s.mallory.ip, s.victim.ip, 22, f.tcpFlag.ack, t))],
  },
  {
    name: 'a packet to the victim by a source route over the box',
    aim: 'victim',
    frames: (s, t) => [
      s.viaBox(
        f.udp(s.mallory.ip, s.box.ip, 9, t, { options: Buffer.concat([f.sourceRoute(s.victim.ip), Buffer.alloc(1)]) }),
      ),
    ],
  },
  {
    name: 'a fragment to the victim',
    aim: 'victim',
    frames: (s, t) => f.udpInTwo(s.mallory.ip, s.victim.ip, 9, t.padStart(64), 32).map((packet) => direct(s, packet)),
  },
  { name: 'a broadcast', aim: 'victim', frames: (s, t) => [toAll(s, f.udp(s.mallory.ip, '255.255.255.255', 9, t))] },
  {
    name: "a broadcast to the VMs' network",
    aim: 'victim',
    frames: (s, t) => [toAll(s, f.udp(s.mallory.ip, broadcastIp(s), 9, t))],
  },
  {
    name: 'multicast',
    aim: 'tap',
    frames: (s, t) => [
      f.ethernet(s.mallory.mac, '01:00:5e:00:00:fb', f.type.ip, f.udp(s.mallory.ip, '224.0.0.251', 5353, t)),
    ],
  },
  {
    name: 'the question of a multicast router',
    aim: 'tap',
    frames: (s, t) => [f.ethernet(s.mallory.mac, '01:00:5e:00:00:01', f.type.ip, f.igmpQuery(s.mallory.ip, t))],
  },
  {
    name: "an ICMP redirect in the box's name",
    aim: 'victim',
    frames: (s, t) => [
      direct(s, f.redirect(s.box.ip, s.victim.ip, s.mallory.ip, f.udp(s.victim.ip, s.outside.ip, 9, t))),
    ],
  },
  {
    name: "an ICMP redirect in Mallory's own name, through the box",
    aim: 'victim',
    frames: (s, t) => [
      s.viaBox(f.redirect(s.mallory.ip, s.victim.ip, s.mallory.ip, f.udp(s.victim.ip, s.outside.ip, 9, t))),
    ],
  },
]

/** To programs on the box. */
export const services: Attack[] = (
  [
    ["the bridge's address", (s) => s.box.ip],
    ['another address of the box', (s) => s.box.otherIp],
    ['127.0.0.1', () => '127.0.0.1'],
  ] satisfies [string, (s: Scene) => string][]
).map(([which, address]) => ({
  name: `a packet for a service of the box, at ${which}`,
  aim: 'service' as const,
  frames: (s: Scene, t: string) => [s.viaBox(f.udp(s.mallory.ip, address(s), servicePort, t))],
}))
services.push(
  {
    name: "a packet for the web's port at 127.0.0.1",
    aim: 'web',
    frames: (s, t) => [s.viaBox(f.udp(s.mallory.ip, '127.0.0.1', webPorts.https, t))],
  },
  {
    name: "a packet for the web's port with the victim's address",
    aim: 'web',
    frames: (s, t) => [s.viaBox(f.udp(s.victim.ip, s.box.otherIp, webPorts.https, t))],
  },
  {
    name: 'a broadcast that a service of the box would hear',
    aim: 'service',
    frames: (s, t) => [toAll(s, f.udp(s.mallory.ip, '255.255.255.255', servicePort, t))],
  },
  {
    name: "a broadcast to the VMs' network that a service of the box would hear",
    aim: 'service',
    frames: (s, t) => [toAll(s, f.udp(s.mallory.ip, broadcastIp(s), servicePort, t))],
  },
)
