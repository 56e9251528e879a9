import { useSignal } from '@preact/signals'
import type { PortResult } from '../../../daemon/commands/ports.ts'
import type { Share } from '../../../daemon/commands/share.ts'
import type { Vm } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Copy, Empty, Field, Trouble } from '../parts.tsx'

/** What a VM listens on, and who may open it. */
export function Ports({ vm }: { vm: Vm }) {
  const { value, problem, again } = useCommand<{ awake: boolean; ports: PortResult[] }>('ports', { vm: vm.name }, 3000)
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

function Links({ vm }: { vm: Vm }) {
  const { value, again } = useCommand<{ shares: Share[] }>('share ls', { vm: vm.name })
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
        <Field id="whom" label="For" placeholder="Ann" of={whom} />
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
