import type { SessionResult } from '../../../../daemon/commands/access/session-ls.ts'
import { useCommand } from '../../command.ts'
import { Act, Ago, Loaded, Table, Until } from '../../parts.tsx'

export function SignIns() {
  const answer = useCommand<{ sessions: SessionResult[] }>('session ls')
  return (
    <Loaded of={answer}>
      {({ sessions }) => (
        <>
          <p class="soft">
            Browsers that are signed in as the owner. <code>croft login</code> makes a link that signs another one in.
          </p>
          <Table head={['Browser', 'From', 'Signed in at', 'Since', 'Ends', 'Opened', '']}>
            {sessions.map((each) => (
              <tr key={each.id}>
                <td title={each.agent}>{browserOf(each.agent)}</td>
                <td class="mono">{each.from}</td>
                <td class="mono">{each.host}</td>
                <td>
                  <Ago at={each.createdAt} />
                </td>
                <td>
                  <Until at={each.expiresAt} />
                </td>
                <td title={each.hosts.join('\n')}>
                  {each.hosts.length} {each.hosts.length === 1 ? 'address' : 'addresses'}
                </td>
                <td class="does">
                  <Act
                    kind="quiet"
                    label={`Sign out ${browserOf(each.agent)}, ${each.from}`}
                    after={answer.again}
                    action={{ command: 'session end', args: { session: each.id }, done: 'it is signed out' }}
                  >
                    Sign out
                  </Act>
                </td>
              </tr>
            ))}
          </Table>
          <form method="post" action="/logout" class="buttons">
            <button type="submit" class="danger">
              Sign out everywhere
            </button>
            <span class="soft">This browser too.</span>
          </form>
        </>
      )}
    </Loaded>
  )
}

/** Returns the browser's common name. Its user agent also names browsers that it wants to be taken for. Pure. */
function browserOf(agent: string): string {
  const name = [/Firefox/, /Edg/, /OPR/, /Chrom(e|ium)/, /Safari/].find((each) => each.test(agent))
  const system = /\((?:X11; )?(Linux|Windows|Macintosh|iPhone|iPad|Android|CrOS)/.exec(agent)?.[1]
  if (!name) return agent.slice(0, 40) || 'unknown'
  const words = name.source.replace('Edg', 'Edge').replace('OPR', 'Opera').replace('Chrom(e|ium)', 'Chrome')
  return system ? `${words} on ${system.replace('Macintosh', 'a Mac')}` : words
}
