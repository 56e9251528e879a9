import { readFile, writeFile } from 'node:fs/promises'
import { type Box, whenUp } from '../../core/box.ts'
import { domainName } from '../libvirt/domain-xml.ts'

/** By which the kernel prefers others when it has to end a process for want of memory: proc_pid_oom_score_adj(5), -1000 to 1000. */
const lastOfAll = -900

/**
 * Has the kernel end other processes of the box before the daemon and VMs. That takes CAP_SYS_RESOURCE, which root has
 * but in some containers. @returns ends watching over VMs
 */
export function guardFromOom(box: Box): () => void {
  let told = false
  const tell = (err: unknown) => {
    if (!told) box.log.warn({ err }, 'the kernel may end the daemon or VMs when memory is out')
    told = true
  }
  const guard = (pid: number | 'self') => writeFile(`/proc/${pid}/oom_score_adj`, `${lastOfAll}`)
  guard('self').catch(tell)
  return whenUp(box, (vm) => void pidOf(vm).then(guard).catch(tell))
}

/** The process of a VM's that libvirt has started: its QEMU. @throws when it has none */
export async function pidOf(vm: { id: string }): Promise<number> {
  return Number(await readFile(`/run/libvirt/qemu/${domainName(vm)}.pid`, 'utf8'))
}
