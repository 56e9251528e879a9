import { useSignal } from '@preact/signals'
import type { KeyResult } from '../../../../daemon/commands/key-ls.ts'
import { ago } from '../../../../daemon/units.ts'
import { useCommand } from '../../command.ts'
import { Act, Empty, Field, Form, Loaded, Table } from '../../parts.tsx'

export function Keys() {
  const answer = useCommand<{ keys: KeyResult[] }>('key ls')
  const key = useSignal('')
  const name = useSignal('')
  return (
    <Loaded of={answer}>
      {({ keys }) => (
        <>
          <p class="soft">Whoever has one of them enters every VM by SSH.</p>
          {keys.length === 0 ? (
            <Empty title="No keys yet">
              <p>
                Paste your public key below, or on the box: <code>croft key add ~/.ssh/id_ed25519.pub</code>
              </p>
            </Empty>
          ) : (
            <Table head={['Name', 'Type', 'Fingerprint', 'Added', '']}>
              {keys.map((each) => (
                <tr key={each.fingerprint}>
                  <td>
                    <b>{each.name}</b>
                  </td>
                  <td class="mono">{each.publicKey.split(' ')[0]}</td>
                  <td class="mono">{each.fingerprint}</td>
                  <td>{ago(each.createdAt, new Date())}</td>
                  <td class="does">
                    <Act
                      kind="quiet"
                      label={`Remove ${each.name}`}
                      after={answer.again}
                      action={{ command: 'key rm', args: { key: each.fingerprint }, done: `${each.name} is shut out` }}
                    >
                      Remove
                    </Act>
                  </td>
                </tr>
              ))}
            </Table>
          )}
          <h2>Let a key in</h2>
          <Form kind="form">
            <Field
              id="key"
              label="Public key, as in ~/.ssh/id_ed25519.pub"
              of={key}
              rows={3}
              placeholder="ssh-ed25519 AAAA…"
            />
            <Field id="key-name" label="Name, if not the one in the key" of={name} placeholder="laptop" mono />
            <p class="buttons">
              <Act
                kind="main"
                disabled={!key.value.trim()}
                action={{
                  command: 'key add',
                  args: { key: key.value.trim(), ...(name.value.trim() && { name: name.value.trim() }) },
                  done: 'it may enter now',
                }}
                after={() => {
                  key.value = ''
                  name.value = ''
                  answer.again()
                }}
              >
                Let it in
              </Act>
            </p>
          </Form>
        </>
      )}
    </Loaded>
  )
}
