import { writeFile } from 'node:fs/promises'
import { type Box, whenUp } from '../../core/box.ts'
import { pidOf } from './pid.ts'

/** Makes the kernel's OOM killer choose other processes first: proc_pid_oom_score_adj(5), -1000 to 1000. */
const lastOfAll = -900

/**
 * Makes the kernel's OOM killer end other processes of the box before the daemon and VMs. That takes CAP_SYS_RESOURCE,
 * which root lacks only in some containers. @returns a function that stops this for further VMs
 */
export function guardFromOom(box: Box): () => void {
  let told = false
  const tell = (err: unknown) => {
    if (!told) box.log.warn({ err }, 'the kernel may end the daemon or VMs when memory runs out')
    told = true
  }
  const guard = (pid: number | 'self') => writeFile(`/proc/${pid}/oom_score_adj`, `${lastOfAll}`)
  guard('self').catch(tell)
  return whenUp(box, (vm) => void pidOf(vm).then(guard).catch(tell))
}
