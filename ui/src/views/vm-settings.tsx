import { type Signal, useSignal } from '@preact/signals'
import { rates } from '../../../daemon/commands/results/rates.ts'
import { stays, wakes, wakesWord } from '../../../daemon/commands/results/wakes.ts'
import type { StatResult } from '../../../daemon/commands/vm/stat.ts'
import { isUp } from '../../../daemon/core/vm/state.ts'
import { ago, mebibytes, minutes, moment, perSecond, until } from '../../../daemon/lib/text/units.ts'
import type { VmView } from '../box.ts'
import { useCommand } from '../command.ts'
import { Act, Choose, Field, Form } from '../parts.tsx'
import { go, vmPath } from '../route.ts'
import { numberIn } from '../words.ts'

/** A VM's facts, and everything about it that can be changed. */
export function VmSettings({ vm }: { vm: VmView }) {
  return (
    <div class="settings">
      <section>
        <h2>About</h2>
        <Facts vm={vm} />
      </section>
      <section>
        <h2>Name and notes</h2>
        <Name key={vm.name} vm={vm} />
        <Comment vm={vm} />
        <Tags vm={vm} />
      </section>
      <section>
        <h2>Sleep</h2>
        <Sleep vm={vm} />
      </section>
      <section>
        <h2>Limits</h2>
        <Limits vm={vm} />
      </section>
      <section>
        <h2>Share of the box</h2>
        <ShareForm vm={vm} />
      </section>
    </div>
  )
}

function Facts({ vm }: { vm: VmView }) {
  const rows: [string, string][] = [
    ['image', vm.image],
    ['address on the box', vm.address],
    ['made', `${ago(vm.createdAt, new Date())}, ${moment(new Date(vm.createdAt))}`],
    [
      'environment',
      Object.entries(vm.env)
        .map(([key, text]) => `${key}=${text}`)
        .join('\n') || 'none',
    ],
    ['id', vm.id],
  ]
  return (
    <dl class="facts">
      {rows.map(([title, says]) => (
        <div key={title}>
          <dt>{title}</dt>
          <dd class="mono">{says}</dd>
        </div>
      ))}
    </dl>
  )
}

function Name({ vm }: { vm: VmView }) {
  const name = useSignal(vm.name)
  const to = name.value.trim()
  return (
    <Form kind="change">
      <Field id="rename" argument="to" label="Name" of={name} mono />
      <Act
        disabled={to === vm.name || !to}
        action={{ command: 'rename', args: { vm: vm.name, to }, done: `it is called ${to}` }}
        after={() => go(vmPath(to, 'settings'), 'replace')}
      >
        Rename
      </Act>
    </Form>
  )
}

function Comment({ vm }: { vm: VmView }) {
  const comment = useSignal(vm.comment)
  const text = comment.value.trim()
  return (
    <Form kind="change">
      <Field id="comment" argument="text" label="What it is for" of={comment} />
      <Act disabled={text === vm.comment} action={{ command: 'comment', args: { vm: vm.name, text }, done: 'noted' }}>
        Save
      </Act>
    </Form>
  )
}

function Tags({ vm }: { vm: VmView }) {
  const typed = useSignal('')
  const tags = typed.value.split(/[\s,#]+/).filter(Boolean)
  return (
    <>
      <Form kind="change">
        <Field id="tags" label="Tags" of={typed} placeholder="shop live" mono />
        <Act
          disabled={tags.length === 0}
          action={{ command: 'tag', args: { vm: vm.name, tags }, done: `${vm.name} has ${tags.join(', ')}` }}
          after={() => {
            typed.value = ''
          }}
        >
          Add
        </Act>
      </Form>
      {vm.tags.length > 0 && (
        <ul class="tags">
          {vm.tags.map((tag) => (
            <li key={tag}>
              #{tag}{' '}
              <Act
                kind="quiet"
                label={`Remove the tag ${tag}`}
                action={{ command: 'tag', args: { vm: vm.name, remove: [tag] }, done: `${tag} is removed` }}
              >
                ×
              </Act>
            </li>
          ))}
        </ul>
      )}
    </>
  )
}

function Sleep({ vm }: { vm: VmView }) {
  const { value, again } = useCommand<StatResult>('stat', { vm: vm.name }, 5000)
  const after = useSignal('')
  const choices = ['default', '5', '15', '30', '60', '240', 'never']
  return (
    <>
      <p>{value ? inWords(value) : '…'}</p>
      <Form kind="change">
        <Choose
          id="sleep"
          argument="after"
          label="Goes to sleep"
          of={after}
          options={[
            ['', value ? `as now: ${titleOf(value.sleepAfter === 0 ? 'never' : `${value.sleepAfter}`)}` : 'as now'],
            ...choices.map((each) => [each, titleOf(each)] as const),
          ]}
        />
        <Act
          disabled={!after.value}
          action={{ command: 'sleep', args: { vm: vm.name, after: after.value }, done: 'it is set' }}
          after={() => {
            after.value = ''
            again()
          }}
        >
          Set
        </Act>
      </Form>
      <p>
        {vm.keepsAppointments ? 'Its timers and cron jobs wake it. ' : 'Its timers and cron jobs don’t wake it. '}
        <Act
          kind="quiet"
          action={{
            command: 'sleep',
            args: { vm: vm.name, appointments: vm.keepsAppointments ? 'no' : 'yes' },
            done: 'it is set',
          }}
        >
          {vm.keepsAppointments ? 'Let it sleep through them' : 'Let them wake it'}
        </Act>
      </p>
    </>
  )
}

function titleOf(after: string): string {
  if (after === 'default') return 'as the box’s default says'
  return after === 'never' ? 'never' : `after ${minutes(Number(after))} without use`
}

/** Tells when a VM is put to sleep automatically, and what uses it now or used it last. Pure. */
function inWords(vm: StatResult): string {
  const { name, state, use, sleepAfter, sleepsAt } = vm
  const now = new Date()
  const rule =
    sleepAfter === 0 ? 'It is never put to sleep automatically.' : `It sleeps after ${minutes(sleepAfter)} without use.`
  if (vm.wakesAt) return `${rule} It ${wakesWord(vm)} at ${wakes(vm, now)}.`
  if (!isUp(state) || !use) return rule
  if (use.now) return `${rule} It is in use now: ${use.why}.`
  const due = stays(vm, now)
  const next = due ? `; it ${due}` : sleepsAt === null ? '' : ` and it sleeps ${until(sleepsAt, now)}`
  return `${rule} ${name} was last used ${ago(use.at, now)} (${use.why})${next}.`
}

function Limits({ vm }: { vm: VmView }) {
  const [cpu, memory, disk] = [useSignal(''), useSignal(''), useSignal('')]
  const asked = {
    ...(cpu.value.trim() && { cpu: numberIn(cpu.value) }),
    ...(memory.value.trim() && { memory: memory.value.trim() }),
    ...(disk.value.trim() && { disk: disk.value.trim() }),
  }
  return (
    <Resize
      vm={vm}
      asked={asked}
      says="The most that it may use of the box. The disk grows immediately and never shrinks. CPUs and memory change at the next start."
      title="Change the limits"
      done="the limits are set"
      fields={[
        ['cpu', 'CPUs', cpu, `${vm.cpus}`],
        ['memory', 'Memory', memory, mebibytes(vm.memoryMiB)],
        ['disk', 'Disk', disk, `${vm.diskGiB} GiB`],
      ]}
    />
  )
}

function ShareForm({ vm }: { vm: VmView }) {
  const [priority, cpu, disk, net] = [useSignal(''), useSignal(''), useSignal(''), useSignal('')]
  const held = rates(vm)
  const others = (['low', 'normal', 'high'] satisfies VmView['priority'][]).filter((each) => each !== vm.priority)
  const asked = {
    ...(priority.value && { priority: priority.value }),
    ...(cpu.value.trim() && { cpuLimit: cpu.value.trim() }),
    ...(disk.value.trim() && { diskLimit: disk.value.trim() }),
    ...(net.value.trim() && { netLimit: net.value.trim() }),
  }
  return (
    <Resize
      vm={vm}
      asked={asked}
      says={`When VMs want more than there is, each gets a share by its priority. This one takes ${
        held.length > 0 ? `at most ${held.join(', ')}` : 'what is left over, without a limit'
      }. Changes apply immediately. Type none to remove a limit.`}
      title="Change its share"
      done="it is set"
      choice={{
        id: 'priority',
        label: 'Priority',
        of: priority,
        options: [['', `as now: ${vm.priority}`], ...others.map((each) => [each, each] as const)],
      }}
      fields={[
        ['cpu-limit', 'CPU time', cpu, heldTo(vm.cpuLimitPercent, (percent) => `${percent} %`, '150%')],
        ['disk-limit', 'Disk per second', disk, heldTo(vm.diskLimitBytesPerS, (rate) => perSecond(rate, 'B'), '50M')],
        ['net-limit', 'Network per second', net, heldTo(vm.netLimitBitsPerS, (rate) => perSecond(rate, 'bit'), '100M')],
      ]}
    />
  )
}

/** Placeholder of an empty field: the current limit, or an example of one. */
const heldTo = (limit: number | null, say: (limit: number) => string, such: string) =>
  limit === null ? `none; for example ${such}` : say(limit)

/** `cpu-limit` is for `cpuLimit`. Pure. */
const argumentOf = (id: string): string => id.replace(/-[a-z]/g, (found) => found[1]!.toUpperCase())

/** A form for `resize`: only the fields that are filled in change. */
function Resize(props: {
  vm: VmView
  asked: Record<string, string | number>
  says: string
  title: string
  done: string
  choice?: Parameters<typeof Choose>[0]
  fields: readonly (readonly [id: string, label: string, of: Signal<string>, placeholder: string])[]
}) {
  const { vm, asked, says, title, done, choice, fields } = props
  return (
    <Form kind="form">
      <p class="soft">{says}</p>
      <div class="fields">
        {choice && (
          <div>
            <Choose {...choice} />
          </div>
        )}
        {fields.map(([id, label, of, placeholder]) => (
          <div key={id}>
            <Field id={id} argument={argumentOf(id)} label={label} of={of} placeholder={placeholder} />
          </div>
        ))}
      </div>
      <p class="buttons">
        <Act
          disabled={Object.keys(asked).length === 0}
          action={{ command: 'resize', args: { vm: vm.name, ...asked }, done }}
          after={() => {
            for (const [, , of] of fields) of.value = ''
            if (choice) choice.of.value = ''
          }}
        >
          {title}
        </Act>
      </p>
    </Form>
  )
}
