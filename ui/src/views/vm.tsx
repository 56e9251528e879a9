import type { ComponentChildren } from 'preact'
import { ago } from '../../../daemon/units.ts'
import { actionsOf } from '../actions.ts'
import { type Vm, vmNamed, vms } from '../box.ts'
import { Act, Copy, State } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
import { Checkpoints } from './checkpoints.tsx'
import { Log } from './log.tsx'
import { Ports } from './ports.tsx'
import { Settings } from './settings.tsx'
import { TerminalTab } from './terminal-tab.tsx'

const tabs: Record<string, { title: string; Body(props: { vm: Vm }): ComponentChildren }> = {
  terminal: { title: 'Terminal', Body: TerminalTab },
  ports: { title: 'Ports', Body: Ports },
  checkpoints: { title: 'Checkpoints', Body: Checkpoints },
  log: { title: 'Console log', Body: Log },
  settings: { title: 'Settings', Body: Settings },
}

export function VmView({ name, tab }: { name: string; tab: string }) {
  if (!vms.value) return <p class="soft">Asking the box…</p>
  const vm = vmNamed(name)
  if (!vm)
    return (
      <section class="empty">
        <h1>No VM called “{name}”</h1>
        <p>
          It may have another name now, or be gone. <a href="/vms">All VMs</a>
        </p>
      </section>
    )
  const { title, Body } = tabs[tab] ?? tabs.terminal!
  return (
    <>
      <div class="heading">
        <h1>{vm.name}</h1>
        <State vm={vm} />
        <span class="soft">
          {vm.public.length ? 'public' : 'private'} · made {ago(vm.createdAt, new Date())}
        </span>
        <span class="buttons">
          {actionsOf(vm).map(({ title, action, kind }) => (
            <Act key={title} action={action} kind={kind} after={(made) => follow(action.command, made)}>
              {title}
            </Act>
          ))}
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
        <code>croft ssh {vm.name}</code> <Copy text={`croft ssh ${vm.name}`} what="the command to enter it" />
      </p>
      <nav class="tabs" aria-label={`What there is of ${vm.name}`}>
        {Object.entries(tabs).map(([key, { title: each }]) => (
          <a key={key} href={vmPath(vm.name, key)} aria-current={each === title ? 'page' : undefined}>
            {each}
          </a>
        ))}
      </nav>
      <Body vm={vm} />
    </>
  )
}

/** Where one wants to be when it is done. */
function follow(command: string, made: unknown): void {
  if (command === 'rm') go('/vms')
  if (command === 'cp') go(vmPath((made as Vm).name))
}
