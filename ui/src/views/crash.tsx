import { whyCrashed } from '../../../daemon/commands/results/why-crashed.ts'
import type { ShowResult } from '../../../daemon/commands/vm/show.ts'
import type { VmView } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Ago } from '../parts.tsx'

/** Says why a VM has crashed, and offers what can be done. */
export function CrashNotice({ vm }: { vm: VmView }) {
  const { value } = useCommand<ShowResult>('show', { vm: vm.name })
  if (!value?.crash) return null
  const { at, reason, console } = value.crash
  return (
    <section class="crash" aria-labelledby="crash">
      <h2 id="crash">
        It crashed <Ago at={at} />
      </h2>
      <p>
        {whyCrashed(vm.id, reason)}{' '}
        {vm.restart === 'never' && (
          <Act
            kind="quiet"
            action={{
              command: 'resize',
              args: { vm: vm.name, restart: 'on-crash' },
              done: 'it restarts after the next crash',
            }}
          >
            Restart it when it crashes
          </Act>
        )}
      </p>
      {console && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable by keyboard
        <pre class="log" tabIndex={0} role="log" aria-label="The end of its console">
          {console}
        </pre>
      )}
    </section>
  )
}
