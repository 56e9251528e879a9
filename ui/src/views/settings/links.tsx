import type { ShareResult } from '../../../../daemon/commands/web/share.ts'
import { useCommand } from '../../command.ts'
import { Act, Ago, Empty, Loaded, Table, Until } from '../../parts.tsx'
import { vmPath } from '../../route.ts'

/** Everything that others may open: links, and public ports. */
export function LinkSettings() {
  const answer = useCommand<{ shares: ShareResult[] }>('share ls')
  return (
    <Loaded of={answer}>
      {({ shares }) => {
        const links = shares.flatMap((share) => share.links)
        const open = shares.flatMap((share) => share.public.map((each) => ({ vm: share.vm, ...each })))
        return (
          <>
            {links.length === 0 ? (
              <Empty title="No share links">
                <p>
                  A link opens one address of one VM. Make one on the VM’s Ports tab, or:{' '}
                  <code>croft share link &lt;vm&gt; --name Ann</code>
                </p>
              </Empty>
            ) : (
              <Table head={['For', 'VM', 'Address', 'Made', 'Ends', '']}>
                {links.map((link) => (
                  <tr key={link.id}>
                    <td>{link.name || <span class="soft">no name</span>}</td>
                    <td>
                      <a href={vmPath(link.vm, 'ports')}>{link.vm}</a>
                    </td>
                    <td class="mono">{link.web}</td>
                    <td>
                      <Ago at={link.createdAt} />
                    </td>
                    <td>
                      <Until at={link.expiresAt} />
                    </td>
                    <td class="does">
                      <Act
                        kind="quiet"
                        label={`Revoke the link for ${link.name || link.vm}`}
                        after={answer.again}
                        action={{ command: 'share revoke', args: { link: link.id }, done: 'the link is revoked' }}
                      >
                        Revoke
                      </Act>
                    </td>
                  </tr>
                ))}
              </Table>
            )}
            <h2>Open to anybody</h2>
            {open.length === 0 ? (
              <p class="soft">Nothing: every VM is private.</p>
            ) : (
              <Table head={['VM', 'Port', 'Address', '']}>
                {open.map(({ vm, port, web }) => (
                  <tr key={`${vm} ${port}`}>
                    <td>
                      <a href={vmPath(vm, 'ports')}>{vm}</a>
                    </td>
                    <td class="mono">{port}</td>
                    <td class="mono">{web}</td>
                    <td class="does">
                      <Act
                        kind="quiet"
                        label={`Make private: port ${port} of ${vm}`}
                        after={answer.again}
                        action={{ command: 'share private', args: { vm, port }, done: `port ${port} is private` }}
                      >
                        Make private
                      </Act>
                    </td>
                  </tr>
                ))}
              </Table>
            )}
          </>
        )
      }}
    </Loaded>
  )
}
