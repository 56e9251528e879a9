import { useSignal } from '@preact/signals'
import type { PortResult } from '../../../daemon/commands/inside/ports.ts'
import type { ShareResult } from '../../../daemon/commands/web/share.ts'
import { isResting } from '../../../daemon/core/vm/state.ts'
import type { VmView } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Choose, Copy, Empty, Field, Form, Secret, Table, Trouble, Until } from '../parts.tsx'

/** The ports that a VM listens on, and who may open them. */
export function Ports({ vm }: { vm: VmView }) {
  const { value, problem, again } = useCommand<{ awake: boolean; ports: PortResult[] }>('ports', { vm: vm.name }, 3000)
  if (problem) return <Trouble problem={problem} />
  if (!value) return <p class="soft">Asking {vm.name}…</p>
  if (value.ports.length === 0)
    return (
      <Empty title={value.awake ? `Nothing listens in ${vm.name} yet` : `${vm.name} is ${vm.state}`}>
        <p>
          {value.awake ? (
            <>
              Start a web server in the VM and open it at {vm.web ?? vm.address}. For example:{' '}
              <code>croft exec {vm.name} -- tmux new -d python3 -m http.server 8000</code>
            </>
          ) : (
            `Its ports show when it is awake.${isResting(vm.state) ? ' It wakes when somebody opens its address.' : ''}`
          )}
        </p>
      </Empty>
    )
  return (
    <>
      <Table head={['Port', 'Address', 'Who may open it', '']}>
        {value.ports.map((each) => (
          <tr key={each.port}>
            <td>
              <b class="mono">{each.port}</b> {each.main && <span class="soft">its plain address leads here</span>}{' '}
              {value.awake && !each.listens && <span class="soft">nothing listens</span>}
            </td>
            <td>
              {each.web ? (
                <>
                  <a href={each.web} target="_blank" rel="noopener noreferrer">
                    {each.web}
                  </a>{' '}
                  <Copy text={each.web} what={`the address of port ${each.port}`} />
                </>
              ) : each.loopback && !each.service ? (
                <span class="soft">only on 127.0.0.1; a web server must listen on 0.0.0.0 to be reachable</span>
              ) : each.loopback ? null : (
                <span class="soft">this box has no web addresses</span>
              )}{' '}
              {each.service && <Tunnel vm={vm} port={each.port} service={each.service} />}
            </td>
            <td>
              {each.web && <span class={each.public ? 'public' : 'private'}>{each.public ? 'anybody' : 'you'}</span>}
            </td>
            <td class="does">
              {each.web && (
                <>
                  {!each.main && (
                    <Act
                      kind="quiet"
                      label={`Make it the main port: ${each.port}`}
                      after={again}
                      action={{
                        command: 'share port',
                        args: { vm: vm.name, port: each.port },
                        done: `${vm.name}’s plain address leads to ${each.port}`,
                      }}
                    >
                      Make it the main port
                    </Act>
                  )}{' '}
                  <Act
                    kind="quiet"
                    after={again}
                    action={{
                      command: each.public ? 'share private' : 'share public',
                      // The main port is shared without its number, so that the plain address keeps leading to it.
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
      </Table>
      {vm.web && <ShareLinks vm={vm} ports={value.ports} />}
    </>
  )
}

/** How to reach a server that doesn't speak HTTP: through SSH, also when it listens on loopback alone. */
function Tunnel({ vm, port, service }: { vm: VmView; port: number; service: string }) {
  const line = `${vm.ssh ?? `croft ssh ${vm.name}`} -L ${port}:localhost:${port}`
  return (
    <span class="soft">
      {service} is not a web server. Reach it through SSH: <code>{line}</code>{' '}
      <Copy text={line} what={`the way to ${service}`} />
    </span>
  )
}

function ShareLinks({ vm, ports }: { vm: VmView; ports: readonly PortResult[] }) {
  const { value, again } = useCommand<{ shares: ShareResult[] }>('share ls', { vm: vm.name })
  const [whom, port, expires] = [useSignal(''), useSignal(''), useSignal('7d')]
  const made = useSignal<string | undefined>(undefined)
  const links = value?.shares[0]?.links ?? []
  return (
    <section>
      <h2>Share links</h2>
      <p class="soft">Anybody who has a link can open one address of this VM, and nothing else, until the link ends.</p>
      {links.length > 0 && (
        <Table head={['For', 'Address', 'Ends', '']}>
          {links.map(({ id, name, web, expiresAt }) => (
            <tr key={id}>
              <td>{name || <span class="soft">no name</span>}</td>
              <td class="mono">{web}</td>
              <td>
                <Until at={expiresAt} />
              </td>
              <td class="does">
                <Act
                  kind="quiet"
                  label={`Revoke the link for ${name || 'an unnamed visitor'}`}
                  after={again}
                  action={{ command: 'share revoke', args: { link: id }, done: 'the link is revoked' }}
                >
                  Revoke
                </Act>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Form kind="row">
        <div>
          <Field id="whom" argument="name" label="For" placeholder="Ann" of={whom} />
        </div>
        <div>
          <Choose
            id="link-port"
            argument="port"
            label="Opens"
            of={port}
            options={[
              ['', 'the plain address'],
              ...ports
                .filter(({ loopback }) => !loopback)
                .map((each) => [`${each.port}`, `port ${each.port}`] as const),
            ]}
          />
        </div>
        <div>
          <Choose
            id="link-expires"
            argument="expires"
            label="Ends in"
            of={expires}
            options={[
              ['1h', 'an hour'],
              ['1d', 'a day'],
              ['7d', '7 days'],
              ['30d', '30 days'],
            ]}
          />
        </div>
        <Act
          action={{
            command: 'share link',
            args: {
              vm: vm.name,
              name: whom.value.trim(),
              ...(port.value && { port: Number(port.value) }),
              expires: expires.value,
            },
            done: 'the link is made',
          }}
          after={(link) => {
            made.value = (link as { url: string }).url
            whom.value = ''
            again()
          }}
        >
          Make a link
        </Act>
      </Form>
      <Secret text={made.value} what="the link" />
    </section>
  )
}
