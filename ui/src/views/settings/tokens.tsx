import { useSignal } from '@preact/signals'
import type { TokenResult } from '../../../../daemon/commands/access/token.ts'
import { useCommand } from '../../command.ts'
import { Act, Ago, ChooseVm, Empty, Field, Form, Loaded, Secret, Table, Until } from '../../parts.tsx'

export function TokenSettings() {
  const answer = useCommand<{ tokens: TokenResult[] }>('token ls')
  return (
    <Loaded of={answer}>
      {({ tokens }) => (
        <>
          <p class="soft">
            Programs send a token as <code>Authorization: Bearer …</code>, or as the password of HTTP basic.
          </p>
          {tokens.length === 0 ? (
            <Empty title="No tokens">
              <p>A token lets a program use this box, or one VM of it, with only the commands that you name.</p>
            </Empty>
          ) : (
            <Table head={['For', 'VM', 'Allowed', 'Made', 'Ends', '']}>
              {tokens.map((each) => (
                <tr key={each.id}>
                  <td>{each.name || <span class="mono soft">{each.id}</span>}</td>
                  <td>{each.vm ?? 'all'}</td>
                  <td class="mono">{each.commands?.join(', ') ?? 'everything'}</td>
                  <td>
                    <Ago at={each.createdAt} />
                  </td>
                  <td>{each.expiresAt === null ? 'never' : <Until at={each.expiresAt} />}</td>
                  <td class="does">
                    <Act
                      kind="quiet"
                      label={`Revoke ${each.name || each.id}`}
                      after={answer.again}
                      action={{ command: 'token revoke', args: { token: each.id }, done: 'the token is revoked' }}
                    >
                      Revoke
                    </Act>
                  </td>
                </tr>
              ))}
            </Table>
          )}
          <NewToken onMade={answer.again} />
        </>
      )}
    </Loaded>
  )
}

function NewToken({ onMade }: { onMade(): void }) {
  const [name, vm, commands, expires] = [useSignal(''), useSignal(''), useSignal(''), useSignal('30d')]
  const made = useSignal<string | undefined>(undefined)
  const args = {
    ...(name.value.trim() && { name: name.value.trim() }),
    ...(vm.value && { vm: vm.value }),
    ...(commands.value.trim() && { commands: commands.value.trim() }),
    ...(expires.value.trim() && { expires: expires.value.trim() }),
  }
  return (
    <>
      <h2>Make a token</h2>
      <Form kind="form">
        <Field id="token-name" argument="name" label="What it is for" of={name} placeholder="backup" />
        <ChooseVm id="token-vm" argument="vm" label="VM that it opens" of={vm} none="all of them" />
        <Field
          id="token-commands"
          argument="commands"
          label="Commands it may run; empty for all"
          of={commands}
          placeholder="ls,exec,web"
          mono
        />
        <Field
          id="token-expires"
          argument="expires"
          label="Lifetime; empty for no end"
          of={expires}
          placeholder="30d"
          mono
        />
        <p class="buttons">
          <Act
            kind="main"
            action={{ command: 'token new', args, done: 'the token is made' }}
            after={(token) => {
              made.value = (token as { secret: string }).secret
              onMade()
            }}
          >
            Make it
          </Act>
        </p>
        <Secret text={made.value} what="the token" />
      </Form>
    </>
  )
}
