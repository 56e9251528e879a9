import { type Signal, useSignal } from '@preact/signals'
import type { ComponentType } from 'preact'
import { useEffect } from 'preact/hooks'
import { isResting } from '../../../daemon/core/vm/state.ts'
import type { VmView } from '../box.ts'
import { Act, Empty } from '../parts.tsx'

/** The terminal, loaded on demand. Opening this tab does not wake a VM that sleeps or dozes. */
export function TerminalTab({ vm }: { vm: VmView }) {
  const View: Signal<ComponentType<{ vm: VmView }> | undefined> = useSignal(undefined)
  const awake = vm.state === 'awake'
  useEffect(() => {
    if (awake)
      void import('./terminal.tsx').then((module) => {
        View.value = module.default
      })
  }, [awake])
  if (!awake)
    return (
      <Empty title={`${vm.name} is ${vm.state}`}>
        <p>
          {isResting(vm.state) ? (
            <Act kind="main" action={{ command: 'wake', args: { vm: vm.name }, done: `${vm.name} is awake` }}>
              Wake it and open a terminal
            </Act>
          ) : (
            'A terminal opens when it is awake.'
          )}
        </p>
      </Empty>
    )
  return View.value ? <View.value key={vm.id} vm={vm} /> : <p class="soft">Loading the terminal…</p>
}
