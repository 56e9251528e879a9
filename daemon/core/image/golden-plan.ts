import type { Memory, Vm } from '../../store/index.ts'
import { type Box, findOperationVm, layerOf, without } from '../box.ts'
import type { OperationOf, Plan } from '../operation/plan.ts'
import { letGo } from '../sleep/memory.ts'
import { bootVm } from '../vm/boot.ts'
import { preparation, withoutVm } from '../vm/vm-plans.ts'

/**
 * Makes a golden checkpoint: a VM of Croft's own is booted as any other, settles, and is saved; its disk becomes the
 * layer, and the VM is forgotten.
 */
export const goldenPlan: Plan<OperationOf<'golden'>> = {
  recovery: 'undo',
  steps: [
    ...preparation,
    {
      name: 'boot',
      run: (box, { vm }, report) => bootVm(box, findOperationVm(box, vm), report),
      undo: (box, { vm }) => box.hypervisor.powerOff(findOperationVm(box, vm).uuid),
    },
    {
      name: 'settle',
      run: (box, { vm }, report) => settle(box, findOperationVm(box, vm), report),
    },
    {
      name: 'save',
      async run(box, { vm: id, memory }, report) {
        const vm = findOperationVm(box, id)
        report({ subject: vm.name, step: 'saving its memory', fraction: 0.95 })
        await box.hypervisor.save(vm.uuid, memory)
        await box.files.freeze(layerOf(box.store.state, vm.disk).file)
      },
      undo: (box, { memory }) => box.files.remove(memory.file),
    },
    {
      // Each `new` loads it: what says nothing is left out once, and not each time.
      name: 'shrink',
      async run(box, { memory }) {
        const shrunk = shrunkFile(memory)
        await box.hypervisor.rewrite(memory, shrunk, 'raw', new AbortController().signal)
        await box.files.freeze(shrunk)
        await box.files.sync(shrunk)
        await box.files.replace(shrunk, memory.file)
      },
      undo: (box, { memory }) => box.files.remove(shrunkFile(memory)),
    },
    {
      name: 'forget',
      async run(box, { vm: id }) {
        const vm = findOperationVm(box, id)
        await box.hypervisor.undefine(vm)
        await box.network.remove(vm)
        await box.guests.forget(vm)
      },
    },
  ],
  end: (state, { vm, checkpoint, memory }) => ({
    ...state,
    vms: without(state.vms, vm),
    memories: { ...state.memories, [memory.id]: memory },
    checkpoints: { ...state.checkpoints, [checkpoint.id]: checkpoint },
  }),
  undone: (state, { vm }) => withoutVm(state, vm),
}

const shrunkFile = (memory: Memory): string => `${memory.file}.shrunk`

/**
 * Waits until the guest has nothing left to do, and takes away what forks should not have: its network, so that none of
 * them begins with its address; its log; files kept in memory that the next minutes don't need.
 */
async function settle(box: Box, vm: Vm, report: Parameters<typeof bootVm>[2]): Promise<void> {
  report({ subject: vm.name, step: 'letting it settle', fraction: 0.9 })
  const { code, stderr } = await box.guests.script(vm.uuid, settleScript, 120_000)
  if (code !== 0) box.log.warn({ stderr }, 'the golden VM did not settle as it should')
  await letGo(box, vm, 30_000, new AbortController().signal)
}

const settleScript = `
systemctl is-system-running --wait > /dev/null
ip link set dev eth0 down
ip address flush dev eth0
rm -f /run/croft-address
journalctl --rotate --vacuum-size=1 > /dev/null 2>&1
sleep 3
`
