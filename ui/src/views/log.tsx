import { useEffect, useRef } from 'preact/hooks'
import type { VmView } from '../box.ts'
import { useCommand } from '../command.ts'
import { Empty, Trouble } from '../parts.tsx'

/** The latest output of a VM's serial console. */
export function Log({ vm }: { vm: VmView }) {
  const { value, problem } = useCommand<{ text: string | null }>('logs', { vm: vm.name, lines: 500 }, 2000)
  const end = useRef<HTMLPreElement>(null)
  const text = value?.text
  useEffect(() => {
    const { current } = end
    if (current) current.scrollTop = current.scrollHeight
  }, [text])
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Reading…</p>
  if (!text) return <Empty title={`${vm.name} has not written to its console yet`}>{null}</Empty>
  return (
    <pre
      ref={end}
      class="log"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable by keyboard
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label={`The end of the console of ${vm.name}`}
    >
      {text}
    </pre>
  )
}
