import { useSignal } from '@preact/signals'
import type { KeyResult } from '../../../../daemon/commands/access/key.ts'
import { useCommand } from '../../command.ts'
import { Act, Ago, Choose, ChooseVm, Empty, Field, Form, Loaded, Table } from '../../parts.tsx'

export function Keys() {
  const answer = useCommand<{ keys: KeyResult[] }>('key ls')
  return (
    <Loaded of={answer}>
      {({ keys }) => (
        <>
          <p class="soft">Each key opens all VMs by SSH, or those that it is limited to.</p>
          {keys.length === 0 ? (
            <Empty title="No keys yet">
              <p>
                Paste your public key below, or on the box: <code>croft key add ~/.ssh/id_ed25519.pub</code>
              </p>
            </Empty>
          ) : (
            <Table head={['Name', 'VM', 'Type', 'Fingerprint', 'Added', '']}>
              {keys.map((each) => (
                <tr key={each.fingerprint}>
                  <td>
                    <b>{each.name}</b>
                  </td>
                  <td>{each.vm ?? (each.tag === null ? 'all' : `tag ${each.tag}`)}</td>
                  <td class="mono">
                    {each.publicKey.split(' ')[0]} {each.authority && <span class="soft">authority</span>}
                  </td>
                  <td class="mono">{each.fingerprint}</td>
                  <td>
                    <Ago at={each.createdAt} />
                  </td>
                  <td class="does">
                    <Act
                      kind="quiet"
                      label={`Remove ${each.name}`}
                      after={answer.again}
                      action={{ command: 'key rm', args: { key: each.fingerprint }, done: `${each.name} is removed` }}
                    >
                      Remove
                    </Act>
                  </td>
                </tr>
              ))}
            </Table>
          )}
          <NewKey onAdded={answer.again} />
          {keys.length > 0 && <Rename keys={keys} onDone={answer.again} />}
        </>
      )}
    </Loaded>
  )
}

function NewKey({ onAdded }: { onAdded(): void }) {
  const [key, name, vm, tag] = [useSignal(''), useSignal(''), useSignal(''), useSignal('')]
  const kind = useSignal('')
  const args = {
    key: key.value.trim(),
    ...(name.value.trim() && { name: name.value.trim() }),
    ...(vm.value && { vm: vm.value }),
    ...(tag.value.trim() && { tag: tag.value.trim() }),
    ...(kind.value && { authority: true }),
  }
  return (
    <>
      <h2>Add a key</h2>
      <Form kind="form">
        <Field
          id="key"
          label="Public key, as in ~/.ssh/id_ed25519.pub, or gh: and a GitHub user name"
          of={key}
          rows={3}
          placeholder="ssh-ed25519 AAAA…"
        />
        <Field
          id="key-name"
          argument="name"
          label="Name, if not the one in the key"
          of={name}
          placeholder="laptop"
          mono
        />
        <ChooseVm id="key-vm" argument="vm" label="VM that it opens" of={vm} none="all of them" />
        <Field id="key-tag" argument="tag" label="Or only those with a tag" of={tag} placeholder="shop" mono />
        <Choose
          id="key-kind"
          argument="authority"
          label="Who may use it"
          of={kind}
          options={[
            ['', 'its holder'],
            ['authority', 'holders of certificates that it signed: it is a CA’s'],
          ]}
        />
        <p class="buttons">
          <Act
            kind="main"
            disabled={!args.key}
            action={{ command: 'key add', args, done: 'the key is added' }}
            after={() => {
              for (const each of [key, name, vm, tag, kind]) each.value = ''
              onAdded()
            }}
          >
            Add key
          </Act>
        </p>
      </Form>
    </>
  )
}

function Rename({ keys, onDone }: { keys: readonly KeyResult[]; onDone(): void }) {
  const [key, to] = [useSignal(''), useSignal('')]
  const name = to.value.trim()
  return (
    <>
      <h2>Rename a key</h2>
      <Form kind="form">
        <Choose
          id="key-old"
          argument="key"
          label="Key"
          of={key}
          options={[['', 'choose'], ...keys.map((each) => [each.fingerprint, each.name] as const)]}
        />
        <Field id="key-new" argument="name" label="New name" of={to} placeholder="laptop" mono />
        <p class="buttons">
          <Act
            disabled={!key.value || !name}
            action={{ command: 'key rename', args: { key: key.value, name }, done: `it is called ${name}` }}
            after={() => {
              key.value = ''
              to.value = ''
              onDone()
            }}
          >
            Rename
          </Act>
        </p>
      </Form>
    </>
  )
}
