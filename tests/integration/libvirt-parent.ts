/**
 * A parent to be killed: opens libvirt at argv[2], and when connected prints its children's pids and leaves calls
 * running.
 */
import { openLibvirt } from '../../daemon/adapters/libvirt/index.ts'

const libvirt = openLibvirt({ uri: process.argv[2]! })
libvirt.onEvent(async (event) => {
  if (event.type !== 'connected') return
  await libvirt.call.nodeInfo()
  console.log(JSON.stringify(libvirt.status().children.map(({ pid }) => pid)))
  for (;;) await libvirt.call.nodeInfo()
})
