import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { whatOf, whenceOf, whoOf } from '../../../daemon/activity/entry-text.ts'
import type { ActivityResult } from '../../../daemon/commands/box/activity.ts'
import { noted, type VmView, vms } from '../box.ts'
import { useCommand } from '../command.ts'
import { Ago, Empty, Loaded, Table } from '../parts.tsx'
import { vmPath } from '../route.ts'

type Entry = ActivityResult['entries'][number]

export function ActivityView() {
  return (
    <>
      <div class="heading">
        <h1>Activity</h1>
      </div>
      <Activity vm={undefined} />
    </>
  )
}

export const VmActivity = ({ vm }: { vm: VmView }) => <Activity vm={vm.name} />

const page = 50
const most = 1000
const typingMs = 200

/** Who did what, the newest first. @param props.vm shows only entries about this VM */
function Activity({ vm }: { vm: string | undefined }) {
  const typed = useSignal('')
  const find = useSignal('')
  const failed = useSignal(false)
  const limit = useSignal(page)
  const asked = {
    ...(vm !== undefined && { vm }),
    ...(find.value && { find: find.value }),
    ...(failed.value && { failed: true }),
    limit: limit.value,
  }
  const answer = useCommand<ActivityResult>('activity', asked, undefined, noted)
  useEffect(() => {
    const timer = setTimeout(() => {
      find.value = typed.value.trim()
    }, typingMs)
    return () => clearTimeout(timer)
  }, [typed.value])
  return (
    <>
      <div class="filters">
        <input
          type="search"
          aria-label="Search activity"
          placeholder="search"
          value={typed.value}
          onInput={(event) => {
            typed.value = event.currentTarget.value
          }}
        />
        <label class="check">
          <input
            type="checkbox"
            checked={failed.value}
            onChange={(event) => {
              failed.value = event.currentTarget.checked
            }}
          />{' '}
          failed only
        </label>
      </div>
      <Loaded of={answer}>
        {({ entries, more }) =>
          entries.length === 0 ? (
            <Empty title={find.value || failed.value ? 'No matches' : 'Nothing has been done yet'}>
              <p>
                Everything that changes something, enters a VM or grants access is listed here. On the command line:{' '}
                <code>croft activity{vm && ` ${vm}`}</code>
              </p>
            </Empty>
          ) : (
            <>
              <Table head={['When', 'Who', 'What', 'Result', 'From']}>
                {entries.toReversed().map((entry) => (
                  <Row key={entry.id} entry={entry} vm={vm} />
                ))}
              </Table>
              {more && limit.value < most && (
                <p class="buttons">
                  <button
                    type="button"
                    onClick={() => {
                      limit.value = Math.min(most, limit.value * 4)
                    }}
                  >
                    Show older
                  </button>
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </>
  )
}

function Row({ entry, vm }: { entry: Entry; vm: string | undefined }) {
  const { at, from, command, result, code, says, ms } = entry
  const what = whatOf(entry)
  return (
    <tr>
      <td>
        <Ago at={at} />
      </td>
      <td>{whoOf(entry)}</td>
      <td>
        {command === null ? what : <code>{what}</code>}{' '}
        {entry.vms
          .filter(({ name }) => name !== vm && (command === null || !what.split(' ').includes(name)))
          .map(({ id, name }) =>
            vms.value?.some((one) => one.id === id && one.name === name) ? (
              <VmLink key={id} name={name} />
            ) : (
              <span key={id}>{name} </span>
            ),
          )}
      </td>
      <td>
        <span class={result === 'done' ? 'soft' : 'bad'}>{code ?? result}</span>{' '}
        {says ? <span class="soft">{says}</span> : ms !== null && <span class="soft">{took(ms)}</span>}
      </td>
      <td title={from?.agent ?? undefined} class="soft">
        {whenceOf(entry)}
      </td>
    </tr>
  )
}

const VmLink = ({ name }: { name: string }) => <a href={vmPath(name)}>{name}</a>

const took = (ms: number): string => (ms < 100 ? '' : `in ${(ms / 1000).toFixed(1)} s`)
