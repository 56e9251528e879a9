import { useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { CheckpointResult } from '../../../daemon/commands/checkpoint-result.ts'
import { ago, bytes, mebibytes } from '../../../daemon/units.ts'
import { actionsOf } from '../actions.ts'
import { type Vm, vmNamed, vms } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Copy, Empty, State, Trouble } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
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

interface Port {
  port: number
  listens: boolean
  loopback: boolean
  public: boolean
  main: boolean
  address: string | null
}

function Ports({ vm }: { vm: Vm }) {
  const { value, problem, again } = useCommand<{ awake: boolean; ports: Port[] }>('ports', { vm: vm.name }, 3000)
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Asking {vm.name}…</p>
  if (value.ports.length === 0)
    return (
      <Empty title={value.awake ? `Nothing listens in ${vm.name} yet` : `${vm.name} is ${vm.state}`}>
        <p>
          {value.awake ? (
            <>
              Start a web server in it, and it is at {vm.web ?? vm.address}. For example:{' '}
              <code>croft exec {vm.name} -- tmux new -d python3 -m http.server 8000</code>
            </>
          ) : (
            `Its ports are seen when it is awake.${vm.state === 'asleep' ? ' It wakes when somebody opens its address.' : ''}`
          )}
        </p>
      </Empty>
    )
  return (
    <>
      <table>
        <thead>
          <tr>
            <th scope="col">Port</th>
            <th scope="col">Address</th>
            <th scope="col">Who may open it</th>
          </tr>
        </thead>
        <tbody>
          {value.ports.map((each) => (
            <tr key={each.port}>
              <td class="mono">
                {each.port} {value.awake && !each.listens && <span class="soft">nothing listens</span>}
              </td>
              <td>
                {each.address ? (
                  <>
                    <a href={each.address} target="_blank" rel="noopener noreferrer">
                      {each.address}
                    </a>{' '}
                    <Copy text={each.address} what={`the address of port ${each.port}`} />
                  </>
                ) : each.loopback ? (
                  <span class="soft">on 127.0.0.1 alone: have it listen on 0.0.0.0</span>
                ) : (
                  <span class="soft">this box has no web addresses</span>
                )}
              </td>
              <td>
                {each.address && (
                  <>
                    <span class={each.public ? 'public' : 'private'}>{each.public ? 'anybody' : 'you'}</span>{' '}
                    <Act
                      kind="quiet"
                      after={again}
                      action={{
                        command: each.public ? 'share private' : 'share public',
                        // Opened by its plain address, it is to stay what that leads to.
                        args: { vm: vm.name, ...((each.public || !each.main) && { port: each.port }) },
                        done: `port ${each.port} is ${each.public ? 'private' : 'public'}`,
                      }}
                    >
                      {each.public ? 'Make private' : 'Make public'}
                    </Act>
                  </>
                )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {vm.web && <Links vm={vm} />}
    </>
  )
}

interface Link {
  id: string
  address: string
  name: string
  expiresAt: string
}

function Links({ vm }: { vm: Vm }) {
  const { value, again } = useCommand<{ shares: { links: Link[] }[] }>('share ls', { vm: vm.name })
  const whom = useSignal('')
  const made = useSignal<string | undefined>(undefined)
  const links = value?.shares[0]?.links ?? []
  return (
    <section>
      <h2>Share links</h2>
      <p class="soft">Whoever has one opens this VM’s address, and nothing else, until it ends.</p>
      {links.length > 0 && (
        <table>
          <tbody>
            {links.map(({ id, name, address, expiresAt }) => (
              <tr key={id}>
                <td>{name || <span class="soft">no name</span>}</td>
                <td>{address}</td>
                <td class="soft">until {expiresAt.slice(0, 16).replace('T', ' ')}</td>
                <td>
                  <Act
                    kind="quiet"
                    after={again}
                    action={{ command: 'share revoke', args: { link: id }, done: 'it is over' }}
                  >
                    Revoke
                  </Act>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p class="buttons">
        <label for="whom">For</label>
        <input
          id="whom"
          placeholder="Ann"
          value={whom.value}
          onInput={(event) => {
            whom.value = event.currentTarget.value
          }}
        />
        <Act
          action={{ command: 'share link', args: { vm: vm.name, name: whom.value.trim() }, done: 'the link is made' }}
          after={(link) => {
            made.value = (link as { url: string }).url
            whom.value = ''
            again()
          }}
        >
          Make a link
        </Act>
      </p>
      {made.value && (
        <p class="secret">
          <code>{made.value}</code> <Copy text={made.value} what="the link" />{' '}
          <span class="soft">It is shown once.</span>
        </p>
      )}
    </section>
  )
}

function Checkpoints({ vm }: { vm: Vm }) {
  const { value, problem, again } = useCommand<{ checkpoints: CheckpointResult[] }>('checkpoint ls', { vm: vm.name })
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Looking…</p>
  const { checkpoints } = value
  if (checkpoints.length === 0)
    return (
      <Empty title="No checkpoints yet">
        <p>
          One keeps the disk and the memory as they are now; going back to it undoes everything since.{' '}
          <Act after={again} action={{ command: 'checkpoint', args: { vm: vm.name }, done: 'the checkpoint is taken' }}>
            Take one
          </Act>
        </p>
      </Empty>
    )
  return (
    <ol class="tree">
      {ordered(checkpoints).map(({ checkpoint, depth }) => (
        <li
          key={checkpoint.id}
          class={checkpoint.current ? 'current' : undefined}
          style={{ marginLeft: `${Math.min(depth, 8) * 24}px` }}
        >
          <b>{checkpoint.label}</b>{' '}
          <span class="soft">
            {ago(checkpoint.createdAt, new Date())} · {bytes(checkpoint.diskBytes)} disk
            {checkpoint.memory ? ` · ${bytes(checkpoint.memoryBytes)} memory` : ' · no memory'}
            {checkpoint.kind !== 'asked' && ` · ${checkpoint.kind}`}
            {checkpoint.current && ' · the VM goes on from here'}
          </span>
          <span class="buttons">
            <Act
              after={again}
              action={{
                command: 'restore',
                args: { vm: vm.name, label: checkpoint.label },
                done: `${vm.name} is as it was`,
              }}
            >
              Go back to it
            </Act>
            <Fork vm={vm} label={checkpoint.label} />
            <Act
              kind="quiet"
              after={again}
              action={{
                command: 'checkpoint rm',
                args: { vm: vm.name, label: checkpoint.label },
                done: `${checkpoint.label} is gone`,
              }}
            >
              Delete
            </Act>
          </span>
        </li>
      ))}
    </ol>
  )
}

function Fork({ vm, label }: { vm: Vm; label: string }) {
  return (
    <Act
      kind="quiet"
      after={(made) => go(vmPath((made as Vm).name))}
      action={{
        command: 'restore',
        args: { vm: vm.name, label, as: freeName(`${vm.name}-${label}`) },
        done: 'the copy is ready',
      }}
    >
      New VM of it
    </Act>
  )
}

function freeName(wish: string): string {
  for (let i = 1; ; i++) {
    const name = i === 1 ? wish : `${wish}-${i}`
    if (!vmNamed(name)) return name
  }
}

/** Each beneath the one that it goes on from, the oldest first. Pure. */
function ordered(all: readonly CheckpointResult[]): { checkpoint: CheckpointResult; depth: number }[] {
  const labels = new Set(all.map(({ label }) => label))
  const beneath = (parent: string | null, depth: number): { checkpoint: CheckpointResult; depth: number }[] =>
    all
      .filter((each) => (each.parent !== null && labels.has(each.parent) ? each.parent : null) === parent)
      .toSorted((a, b) => a.createdAt.localeCompare(b.createdAt))
      .flatMap((checkpoint) => [{ checkpoint, depth }, ...beneath(checkpoint.label, depth + 1)])
  return beneath(null, 0)
}

function Log({ vm }: { vm: Vm }) {
  const { value, problem } = useCommand<{ text: string | null }>('logs', { vm: vm.name, lines: 500 }, 2000)
  const end = useRef<HTMLPreElement>(null)
  const text = value?.text
  useEffect(() => {
    const { current } = end
    if (current) current.scrollTop = current.scrollHeight
  }, [text])
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Reading…</p>
  if (!text) return <Empty title={`${vm.name} has written nothing to its console yet`}>{null}</Empty>
  return (
    <pre
      ref={end}
      class="log"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keyboard
      tabIndex={0}
      role="log"
      aria-live="off"
      aria-label={`The end of the console of ${vm.name}`}
    >
      {text}
    </pre>
  )
}

interface Stat {
  use: { why: string; at: string; now: boolean } | null
  sleepAfter: number
  sleepsAt: string | null
}

function Settings({ vm }: { vm: Vm }) {
  const { value } = useCommand<Stat>('stat', { vm: vm.name }, 5000)
  const name = useSignal(vm.name)
  const taken = useSignal<string | undefined>(undefined)
  useEffect(() => {
    if (name.value === vm.name || !name.value) {
      taken.value = undefined
      return
    }
    taken.value = vmNamed(name.value) ? `There is a VM called ${name.value} already.` : undefined
  }, [name.value])
  const rows: [string, string][] = [
    ['limits', `${vm.cpus} CPUs, ${mebibytes(vm.memoryMiB)} memory, ${vm.diskGiB} GiB disk`],
    ['image', vm.image],
    ['address', vm.address],
    [
      'environment',
      Object.entries(vm.env)
        .map(([key, text]) => `${key}=${text}`)
        .join('\n') || 'none',
    ],
    ['tags', vm.tags.map((tag) => `#${tag}`).join(' ') || 'none'],
    ['sleep', value ? (value.sleepAfter === 0 ? 'never' : `after ${value.sleepAfter} min without use`) : '…'],
    [
      'awake because of',
      value?.use ? `${value.use.why}${value.use.now ? ', now' : `, ${ago(value.use.at, new Date())}`}` : '–',
    ],
    ['id', vm.id],
  ]
  return (
    <>
      <dl class="facts">
        {rows.map(([title, says]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd class="mono">{says}</dd>
          </div>
        ))}
      </dl>
      <p class="buttons">
        <label for="rename">Name</label>
        <input
          id="rename"
          class="mono"
          value={name.value}
          onInput={(event) => {
            name.value = event.currentTarget.value.trim()
          }}
        />
        <Act
          disabled={name.value === vm.name || !name.value || taken.value !== undefined}
          action={{ command: 'rename', args: { vm: vm.name, to: name.value }, done: `it is called ${name.value}` }}
          after={() => go(vmPath(name.value, 'settings'), 'replace')}
        >
          Rename
        </Act>
        {taken.value && <span class="bad">{taken.value}</span>}
      </p>
    </>
  )
}
