import * as f from './frames.ts'
import type { Scene, Vm } from './scene.ts'

const patienceSeconds = 3
/** Ethernet, IPv4 and UDP before the message. */
const headers = 14 + 20 + 8
const kinds = ['', 'discover', 'offer', 'request', 'decline', 'ack', 'nak']
let last = 0x10000000

/** Sends a DHCP message of a VM to the box. @returns dnsmasq's answer */
export async function askDhcp(
  scene: Scene,
  vm: Vm,
  message: Omit<f.Dhcp, 'mac' | 'xid'>,
): Promise<{ kind: string; address: string } | undefined> {
  const xid = ++last
  const known = message.ip ? [message.ip, scene.box.ip] : ['0.0.0.0', '255.255.255.255']
  const packet = f.dhcpPacket(known[0]!, known[1]!, { mac: vm.mac, xid, ...message }, scene.token())
  const frame = f.ethernet(vm.mac, message.ip ? scene.box.mac : f.broadcast, f.type.ip, packet)
  const answer = await vm.station.do('ask', 'eth0', frame.toString('hex'), xid.toString(16), patienceSeconds)
  if (!answer) return undefined
  const data = Buffer.from(answer, 'hex').subarray(headers)
  const kind = kinds[data[data.indexOf(Buffer.from([53, 1]), 240) + 2]!]!
  return { kind, address: [...data.subarray(16, 20)].join('.') }
}

/** Asks the box for a name. @returns the number of answers, or undefined when it does not reply */
export async function askDns(scene: Scene, vm: Vm, name: string, kind = 1, family = 1): Promise<number | undefined> {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  const question = Buffer.concat([...labels, Buffer.from([0, 0, kind, 0, family])])
  const message = Buffer.concat([Buffer.from([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]), question])
  const frame = scene.viaBox(f.udp(vm.ip, scene.box.ip, 53, message), vm)
  const match = question.toString('hex')
  const answer = await vm.station.do('ask', 'eth0', frame.toString('hex'), match, patienceSeconds)
  return answer ? Buffer.from(answer, 'hex').readUInt16BE(headers + 6) : undefined
}
