import { must, names, program } from '../../lib/croft.ts'
import { Station } from './station.ts'

export const slot = names.name.replace(/\D/g, '')
const namespace = `iso${slot}`
const here = `iso${slot}-box`
const there = `iso${slot}-out`

/** The world beyond the box: a network namespace with a host in it, one cable away. */
export const outsideNet = {
  /** The box's address on that cable. */
  box: `10.98.${slot}.1`,
  host: `10.98.${slot}.2`,
  /** The address of a cloud's metadata service. */
  metadata: `169.254.98.${slot}`,
}

/** Kernel settings that some boxes have less strict than the default: our rules must not depend on them. */
function laxSettings(bridge: string): string[] {
  return [
    'net.ipv4.conf.all.rp_filter=0',
    `net.ipv4.conf.${bridge}.rp_filter=0`,
    'net.ipv4.conf.all.accept_source_route=1',
    `net.ipv4.conf.${bridge}.accept_source_route=1`,
    `net.ipv4.conf.${bridge}.route_localnet=1`,
  ]
}

/** @returns the host outside, and a function that restores the box */
export async function buildOutside(): Promise<{ station: Station; remove: () => Promise<void> }> {
  await removeOutside()
  const { box, host, metadata } = outsideNet
  const inside = ['ip', '-n', namespace]
  const steps = [
    ['ip', 'netns', 'add', namespace],
    ['ip', 'link', 'add', here, 'type', 'veth', 'peer', 'name', there],
    ['ip', 'link', 'set', there, 'netns', namespace],
    ['ip', 'addr', 'add', `${box}/24`, 'dev', here],
    ['ip', 'link', 'set', here, 'up'],
    [...inside, 'addr', 'add', `${host}/24`, 'dev', there],
    [...inside, 'addr', 'add', `${metadata}/32`, 'dev', there],
    [...inside, 'link', 'set', 'lo', 'up'],
    [...inside, 'link', 'set', there, 'up'],
    // It has a route to the VMs, so a missing route is not what keeps it out.
    [...inside, 'route', 'add', names.subnet, 'via', box],
    ['ip', 'route', 'add', `${metadata}/32`, 'dev', here],
  ]
  for (const [program, ...args] of steps) await must(program!, args)
  const lax = laxSettings(names.bridge)
  const before = (
    await must(
      'sysctl',
      lax.map((each) => each.split('=')[0]!),
    )
  )
    .trim()
    .split('\n')
  await must('sysctl', ['-w', ...lax])
  const station = await Station.open(['ip', 'netns', 'exec', namespace])
  await station.do('sniff', 'outside', there)
  return {
    station,
    async remove() {
      // A killed earlier run may have left a changed value, so this one goes back to the kernel's own.
      const strict = 'net.ipv4.conf.all.accept_source_route=0'
      await program('sysctl', ['-w', ...before.map((each) => each.replaceAll(' ', '')), strict])
      station[Symbol.dispose]()
      await removeOutside()
    },
  }
}

async function removeOutside(): Promise<void> {
  await program('ip', ['netns', 'del', namespace])
  await program('ip', ['link', 'del', here])
}
