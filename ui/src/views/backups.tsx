import { useSignal } from '@preact/signals'
import type { BackupResult, BackupStateResult } from '../../../daemon/commands/backup/results.ts'
import { bytes, interval } from '../../../daemon/lib/text/units.ts'
import { useCommand } from '../command.ts'
import { Act, Ago, Choose, Empty, Field, Form, Table, Trouble } from '../parts.tsx'
import { vmPath } from '../route.ts'

interface Listing {
  target: string | null
  states: BackupStateResult[]
  /** Of VMs that are gone. */
  backups: BackupResult[]
}

interface Plan {
  every: number | null
  keep: { daily: number; weekly: number; monthly: number } | null
  tag: string | null
}

/** What is kept outside the box: of each VM, when, how much, what failed, and whether it comes back. */
export function BackupsView() {
  const { value, problem, again } = useCommand<Listing>('backup ls')
  const { value: plan, again: planAgain } = useCommand<Plan>('backup auto')
  return (
    <>
      <div class="heading">
        <h1>Backups</h1>
        {value?.target && (
          <Act after={again} action={{ command: 'backup now', args: {}, done: 'all is backed up' }}>
            Back up everything now
          </Act>
        )}
      </div>
      {problem && <Trouble problem={problem} />}
      {!value && !problem && <p class="soft">Asking the place where they are…</p>}
      {value?.target === null && (
        <Empty title="No place for backups yet">
          <p>
            What is on this disk is nowhere else. Choose a folder, or a server by SFTP, S3 or REST:{' '}
            <code>croft backup to /mnt/backup</code>. It shows the recovery key once, in your terminal.
          </p>
        </Empty>
      )}
      {value?.target && (
        <>
          <p class="soft">
            They go to <code>{value.target}</code>, encrypted.
          </p>
          <States states={value.states} again={again} />
          <Gone backups={value.backups} again={again} />
          {plan && <Schedule plan={plan} again={planAgain} />}
        </>
      )}
    </>
  )
}

function States({ states, again }: { states: readonly BackupStateResult[]; again(): void }) {
  return (
    <Table head={['VM', 'Last', 'Size', 'Sent', 'Proven', '']}>
      {states.map(({ vm, at, bytes: size, addedBytes, error, provenAt }) => (
        <tr key={vm ?? ''}>
          <td>
            {vm === null ? 'the box itself' : <a href={vmPath(vm)}>{vm}</a>}
            {error && <p class="bad">The last one failed: {error}</p>}
          </td>
          <td>{at ? <Ago at={at} /> : <span class="soft">never</span>}</td>
          <td>{at && bytes(size)}</td>
          <td>{at && bytes(addedBytes)}</td>
          <td>{vm !== null && (provenAt ? <Ago at={provenAt} /> : <span class="soft">never</span>)}</td>
          <td class="does">
            {vm !== null && (
              <>
                <Act
                  kind="quiet"
                  after={again}
                  label={`Back up ${vm}`}
                  action={{ command: 'backup now', args: { vms: [vm] }, done: `${vm} is backed up` }}
                >
                  Back up
                </Act>
                {at && (
                  <Act
                    kind="quiet"
                    after={again}
                    label={`Prove that the backup of ${vm} comes back`}
                    action={{ command: 'backup prove', args: { vm }, done: `the backup of ${vm} came back` }}
                  >
                    Prove it
                  </Act>
                )}
                {at && (
                  <Act
                    kind="quiet"
                    after={again}
                    label={`Restore ${vm}`}
                    action={{ command: 'backup restore', args: { vm }, done: `${vm} is restored` }}
                  >
                    Restore
                  </Act>
                )}
              </>
            )}
          </td>
        </tr>
      ))}
    </Table>
  )
}

/** The newest backup of each VM that is gone. */
function Gone({ backups, again }: { backups: readonly BackupResult[]; again(): void }) {
  const newest = [...new Map(backups.map((each) => [each.vm, each])).values()]
  if (newest.length === 0) return null
  return (
    <section>
      <h2>Of VMs that are gone</h2>
      <Table head={['VM', 'Last', '']}>
        {newest.map(({ id, vm, at }) => (
          <tr key={id}>
            <td>{vm}</td>
            <td>
              <Ago at={at} />
            </td>
            <td class="does">
              <Act
                kind="quiet"
                after={again}
                label={`Bring ${vm} back`}
                action={{ command: 'backup restore', args: { vm, when: id }, done: `${vm} is back` }}
              >
                Bring it back
              </Act>
            </td>
          </tr>
        ))}
      </Table>
    </section>
  )
}

function Schedule({ plan: { every, keep, tag }, again }: { plan: Plan; again(): void }) {
  const chosen = useSignal('')
  const only = useSignal('')
  const off = chosen.value === 'off'
  const kept = keep && `${keep.daily} daily, ${keep.weekly} weekly and ${keep.monthly} monthly ones are kept.`
  return (
    <section>
      <h2>Schedule</h2>
      <p class="soft">
        {every === null
          ? 'No backups are made by themselves.'
          : `${tag ? `VMs with the tag ${tag}` : 'All VMs'} every ${interval(every)}; of each, ${kept}`}
      </p>
      <Form kind="row">
        <div>
          <Choose
            id="every"
            label="Make them"
            of={chosen}
            options={[
              ['', 'as now'],
              ['1h', 'every hour'],
              ['6h', 'every 6 hours'],
              ['1d', 'every day'],
              ['off', 'not by themselves'],
            ]}
          />
        </div>
        <div>
          <Field id="tag" label="Of VMs with the tag" of={only} placeholder="default: all" mono />
        </div>
        <Act
          disabled={!chosen.value}
          action={{
            command: 'backup auto',
            args: off ? { off: true } : { every: chosen.value, ...(only.value.trim() && { tag: only.value.trim() }) },
            done: off ? 'the schedule is off' : 'the schedule is set',
          }}
          after={() => {
            chosen.value = ''
            again()
          }}
        >
          Set
        </Act>
      </Form>
    </section>
  )
}
