import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { sharing } from '../../../daemon/commands/results/sharing.ts'
import { wakes, wakesWord } from '../../../daemon/commands/results/wakes.ts'
import { isUp } from '../../../daemon/core/vm/state.ts'
import { actionsOf } from '../actions.ts'
import { freeName, shownVm, type VmView, vms } from '../box.ts'
import { Act, Ago, Copy, Dialog, Field, Form, StateMark, Tabs } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
import { VmActivity } from './activity.tsx'
import { Charts } from './charts.tsx'
import { Checkpoints } from './checkpoints.tsx'
import { CrashNotice } from './crash.tsx'
import { Log } from './log.tsx'
import { Ports } from './ports.tsx'
import { TerminalTab } from './terminal-tab.tsx'
import { VmSettings } from './vm-settings.tsx'

const tabs: Record<string, { title: string; Body(props: { vm: VmView }): ComponentChildren }> = {
  terminal: { title: 'Terminal', Body: TerminalTab },
  ports: { title: 'Ports', Body: Ports },
  charts: { title: 'Charts', Body: Charts },
  checkpoints: { title: 'Checkpoints', Body: Checkpoints },
  log: { title: 'Console log', Body: Log },
  activity: { title: 'Activity', Body: VmActivity },
  settings: { title: 'Settings', Body: VmSettings },
}

/** @param tab undefined for the first tab */
export const isVmTab = (tab: string | undefined): boolean => tab === undefined || Object.hasOwn(tabs, tab)

export function VmPage({ name, tab = 'terminal' }: { name: string; tab: string | undefined }) {
  if (!vms.value) return <p class="soft">Asking the box…</p>
  const vm = shownVm(name)
  if (!vm)
    return (
      <section class="empty">
        <h1>No VM called “{name}”</h1>
        <p>
          It may have been renamed or deleted. <a href="/vms">All VMs</a>
        </p>
      </section>
    )
  const { Body } = tabs[tab]!
  const enter = vm.ssh ?? `croft ssh ${vm.name}`
  return (
    <>
      <div class="heading">
        <h1>{vm.name}</h1>
        <StateMark vm={vm} />
        <span class="soft">
          <span class={vm.public.length ? 'public' : undefined}>{sharing(vm)}</span> · made <Ago at={vm.createdAt} />
          {vm.wakesAt && ` · ${wakesWord(vm)} ${wakes(vm, new Date())}`}
        </span>
        <span class="buttons">
          {actionsOf(vm).map(({ title, action, kind }) =>
            action.command === 'cp' ? (
              <Copying key={title} vm={vm} />
            ) : (
              <Act key={title} action={action} kind={kind} after={() => action.command === 'rm' && go('/vms')}>
                {title}
              </Act>
            ),
          )}
        </span>
      </div>
      <p class="addresses">
        {vm.web && (
          <>
            <a href={vm.web} target="_blank" rel="noopener noreferrer">
              {vm.web}
            </a>{' '}
            <Copy text={vm.web} what="its address" />
          </>
        )}{' '}
        <span class="shell">
          <code>{enter}</code> <Copy text={enter} what="the command to enter it" />
        </span>
      </p>
      {vm.state === 'crashed' && <CrashNotice key={vm.id} vm={vm} />}
      <Tabs label={`Views of ${vm.name}`} parts={tabs} now={tab} path={(key) => vmPath(vm.name, key)} />
      <Body vm={vm} />
    </>
  )
}

/** A copy needs a name. One is suggested, so that Enter is enough. */
function Copying({ vm }: { vm: VmView }) {
  const asked = useSignal(false)
  const name = useSignal('')
  const diskOnly = useSignal(false)
  const to = name.value.trim()
  const close = () => {
    asked.value = false
  }
  return (
    <>
      <button
        type="button"
        aria-haspopup="dialog"
        onClick={() => {
          name.value = freeName(`${vm.name}-copy`)
          asked.value = true
        }}
      >
        Copy…
      </button>
      {asked.value && (
        <Dialog label={`Copy ${vm.name}`} onClose={close}>
          <Form kind="form">
            <Field id="copy-name" argument="name" label={`Name of the copy of ${vm.name}`} of={name} mono />
            {isUp(vm.state) && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={diskOnly.value}
                  onChange={(event) => {
                    diskOnly.value = event.currentTarget.checked
                  }}
                />{' '}
                Without memory: the copy boots from the disk as it is now
              </label>
            )}
            <p class="buttons">
              <button type="button" onClick={close}>
                Cancel
              </button>
              <Act
                kind="main"
                disabled={!to}
                action={{
                  command: 'cp',
                  args: { vm: vm.name, name: to, ...(diskOnly.value && { diskOnly: true }) },
                  done: `${to} is ready`,
                }}
                after={() => {
                  close()
                  go(vmPath(to))
                }}
              >
                Copy it
              </Act>
            </p>
          </Form>
        </Dialog>
      )}
    </>
  )
}
