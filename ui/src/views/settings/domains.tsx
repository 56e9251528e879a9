import { useSignal } from '@preact/signals'
import type { CustomHostResult } from '../../../../daemon/commands/web/domain.ts'
import type { DomainResult } from '../../../../daemon/commands/web/domain-ls.ts'
import type { Check } from '../../../../daemon/core/interfaces/check.ts'
import { useCommand } from '../../command.ts'
import { Act, CheckList, Choose, ChooseVm, Field, Form, Loaded, Table } from '../../parts.tsx'
import { vmPath } from '../../route.ts'
import { certificatesOf, numberIn } from '../../words.ts'

export function Domains() {
  const answer = useCommand<DomainResult>('domain ls')
  const [domain, tls, email] = [useSignal(''), useSignal('acme'), useSignal('')]
  const checks = useSignal<readonly Check[] | undefined>(undefined)
  return (
    <Loaded of={answer}>
      {(now) => (
        <>
          <p>
            VMs are at <code>{now.example}</code> <span class="soft">(certificates: {certificatesOf[now.tls]})</span>
          </p>
          <p class="buttons">
            <Act
              action={{ command: 'domain check', args: {}, done: 'checked' }}
              after={(result) => {
                checks.value = (result as { checks: Check[] }).checks
              }}
            >
              Check that everything leads here
            </Act>
          </p>
          {checks.value && <CheckList checks={checks.value} />}
          <Hosts hosts={now.hosts} again={answer.again} />
          <h2>Change the domain</h2>
          <Form kind="form">
            <Field
              id="domain"
              label="Domain; it and all its subdomains must lead to this box"
              of={domain}
              placeholder="box.example.com"
              mono
            />
            <Choose
              id="tls"
              label="Certificates"
              of={tls}
              options={[
                ['acme', 'by ACME (Let’s Encrypt)'],
                ['internal', 'by the box’s own CA'],
                ['off', 'none'],
              ]}
            />
            {tls.value === 'acme' && (
              <Field id="email" label="Email address for the CA, optional" of={email} placeholder="me@example.com" />
            )}
            <p class="buttons">
              <Act
                disabled={!domain.value.trim()}
                action={{
                  command: 'domain set',
                  args: {
                    domain: domain.value.trim(),
                    ...(domain.value.trim() !== 'localhost' && { tls: tls.value }),
                    ...(tls.value === 'acme' && email.value.trim() && { email: email.value.trim() }),
                  },
                  done: `VMs are now under ${domain.value.trim()}`,
                }}
                after={answer.again}
              >
                Use it
              </Act>
              <span class="soft">You sign in again at the new address.</span>
            </p>
          </Form>
        </>
      )}
    </Loaded>
  )
}

/** Custom host names of VMs. */
function Hosts({ hosts, again }: { hosts: readonly CustomHostResult[]; again(): void }) {
  const [host, vm, port] = [useSignal(''), useSignal(''), useSignal('')]
  return (
    <>
      <h2>Custom names</h2>
      {hosts.length > 0 && (
        <Table head={['Name', 'VM', 'Port', '']}>
          {hosts.map((each) => (
            <tr key={each.host}>
              <td>
                <a href={each.web} target="_blank" rel="noopener noreferrer">
                  {each.host}
                </a>
              </td>
              <td>
                <a href={vmPath(each.vm)}>{each.vm}</a>
              </td>
              <td class="mono">{each.port ?? 'main'}</td>
              <td class="does">
                <Act
                  kind="quiet"
                  label={`Remove ${each.host}`}
                  after={again}
                  action={{
                    command: 'domain rm',
                    args: { host: each.host },
                    done: `${each.host} no longer leads to a VM`,
                  }}
                >
                  Remove
                </Act>
              </td>
            </tr>
          ))}
        </Table>
      )}
      <Form kind="form">
        <Field id="host" label="A name that resolves to this box" of={host} placeholder="shop.example.com" mono />
        <ChooseVm id="host-vm" argument="vm" label="VM" of={vm} />
        <Field id="host-port" argument="port" label="Port, if not the main one" of={port} placeholder="8000" mono />
        <p class="buttons">
          <Act
            disabled={!host.value.trim() || !vm.value}
            action={{
              command: 'domain add',
              args: {
                host: host.value.trim(),
                vm: vm.value,
                ...(port.value.trim() && { port: numberIn(port.value) }),
              },
              done: `${host.value.trim()} leads to ${vm.value}`,
            }}
            after={() => {
              host.value = ''
              port.value = ''
              again()
            }}
          >
            Add the name
          </Act>
        </p>
      </Form>
    </>
  )
}
