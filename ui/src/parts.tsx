import { type Signal, useSignal } from '@preact/signals'
import { type ComponentChildren, createContext } from 'preact'
import { useContext, useEffect, useRef, useState } from 'preact/hooks'
import { wakes, wakesWord } from '../../daemon/commands/results/wakes.ts'
import type { Check } from '../../daemon/core/interfaces/check.ts'
import { ago, moment, until } from '../../daemon/lib/text/units.ts'
import type { ApiProblem } from './api.ts'
import { type VmView, vms } from './box.ts'
import type { Answer } from './command.ts'
import { linesOf, pointedAt, runAction, type UserAction } from './run.ts'

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M2 2h20v20H2zM2 14h12V2M14 22v-8h8" />
      <rect x="16.5" y="16.5" width="3" height="3" />
    </svg>
  )
}

/** State shared by a form's fields and its button. */
interface FormState {
  /** The error of the last attempt. */
  problem: Signal<ApiProblem | undefined>
  /** The arguments that have a field in the form. */
  fields: Set<string>
}

const FormContext = createContext<FormState | undefined>(undefined)

/** Fields and the one button that submits them, as Enter does. An error is shown at the field at fault. */
export function Form({ kind, children }: { kind: 'form' | 'row' | 'change'; children: ComponentChildren }) {
  const problem = useSignal<ApiProblem | undefined>(undefined)
  const [form] = useState<FormState>({ problem, fields: new Set() })
  const { value } = problem
  return (
    <FormContext.Provider value={form}>
      <form
        class={kind}
        onSubmit={(event) => event.preventDefault()}
        onInput={() => {
          problem.value = undefined
        }}
      >
        {children}
        {value && !form.fields.has(value.argument ?? '') && <Trouble problem={value} />}
      </form>
    </FormContext.Provider>
  )
}

/** The form's error, if it belongs to this field. @param argument the command's argument that the field sets */
function useProblem(argument: string): ApiProblem | undefined {
  const form = useContext(FormContext)
  useEffect(() => {
    form?.fields.add(argument)
    return () => void form?.fields.delete(argument)
  }, [form, argument])
  const problem = form?.problem.value
  return problem?.argument === argument ? problem : undefined
}

/** A field's error. When it appears, the field gets the focus. */
function AtField({ id, problem }: { id: string; problem: ApiProblem | undefined }) {
  const { message, code, hint } = problem ?? {}
  useEffect(() => {
    if (!problem) return
    const field = document.getElementById(id)
    const hidden = field?.closest('details')
    if (hidden) hidden.open = true
    field?.focus()
  }, [problem])
  if (!problem) return null
  return (
    <p class="bad" id={`${id}-problem`} role="alert">
      {/* A bad value's hint describes the argument, as the field's label already does. */}
      {message} {code !== 'bad-value' && hint}
    </p>
  )
}

/** Ties a field to its error for assistive technology. */
const describedBy = (id: string, problem: ApiProblem | undefined) =>
  problem ? { 'aria-invalid': true, 'aria-describedby': `${id}-problem` } : {}

/** A button that runs a command and shows its command line beforehand. */
export function Act(props: {
  action: UserAction
  children: ComponentChildren
  kind?: 'main' | 'danger' | 'quiet' | undefined
  disabled?: boolean
  label?: string
  after?: (result: unknown) => void
}) {
  const { action, children, kind, disabled, label, after } = props
  const busy = useSignal(false)
  const form = useContext(FormContext)?.problem
  const point = () => {
    pointedAt.value = action
  }
  const leave = () => {
    if (pointedAt.value === action) pointedAt.value = undefined
  }
  const act = async () => {
    busy.value = true
    if (form) form.value = undefined
    const atForm = form && ((problem: ApiProblem) => (form.value = problem))
    const result = await runAction({ ...action, verb: textOf(children) }, atForm)
    busy.value = false
    if (result !== undefined) after?.(result)
  }
  return (
    <button
      type="submit"
      class={kind}
      disabled={disabled}
      aria-busy={busy.value}
      aria-label={label}
      title={linesOf(action)}
      onPointerEnter={point}
      onPointerLeave={leave}
      onFocus={point}
      onBlur={leave}
      onClick={() => !busy.value && act()}
    >
      {children}
    </button>
  )
}

const textOf = (children: ComponentChildren): string => [children].flat().join('')

/** A button that copies a text, and says so for a moment. */
export function Copy({ text, what }: { text: string; what: string }) {
  const done = useSignal(false)
  const copy = async () => {
    await navigator.clipboard.writeText(text)
    done.value = true
    setTimeout(() => {
      done.value = false
    }, 1500)
  }
  return (
    <button type="button" class="quiet copy" aria-label={`Copy ${what}`} onClick={copy}>
      {done.value ? 'copied' : 'copy'}
    </button>
  )
}

/**
 * A text field with its label.
 * @param props.argument the command's argument that the field sets, if not its id
 * @param props.rows number of lines; a field with several is monospaced
 */
export function Field(props: {
  id: string
  argument?: string
  label: string
  of: Signal<string>
  placeholder?: string | undefined
  mono?: boolean
  rows?: number
  autofocus?: boolean
}) {
  const { id, argument = id, label, of, placeholder, mono, rows, autofocus } = props
  const problem = useProblem(argument)
  const field = {
    autofocus,
    ...describedBy(id, problem),
    id,
    class: mono || rows ? 'mono' : undefined,
    placeholder,
    autocomplete: 'off',
    spellcheck: false,
    value: of.value,
    onInput: (event: { currentTarget: { value: string } }) => {
      of.value = event.currentTarget.value
    },
  }
  return (
    <>
      <label for={id}>{label}</label>
      {rows ? <textarea rows={rows} {...field} /> : <input {...field} />}
      <AtField id={id} problem={problem} />
    </>
  )
}

/** A choice among a few options. @param props.options pairs of value and label @param props.argument as in `Field` */
export function Choose(props: {
  id: string
  argument?: string
  label: string
  of: Signal<string>
  options: readonly (readonly [string, string])[]
}) {
  const { id, argument = id, label, of, options } = props
  const problem = useProblem(argument)
  return (
    <>
      <label for={id}>{label}</label>
      <select
        id={id}
        {...describedBy(id, problem)}
        value={of.value}
        onChange={(event) => {
          of.value = event.currentTarget.value
        }}
      >
        {options.map(([value, title]) => (
          <option key={value} value={value}>
            {title}
          </option>
        ))}
      </select>
      <AtField id={id} problem={problem} />
    </>
  )
}

/** A choice among the VMs. @param props.none label of the empty choice */
export function ChooseVm({
  none = 'choose',
  ...rest
}: {
  id: string
  argument?: string
  label: string
  of: Signal<string>
  none?: string
}) {
  const names = (vms.value ?? []).map(({ name }) => name).toSorted()
  return <Choose {...rest} options={[['', none], ...names.map((name) => [name, name] as const)]} />
}

/** Shows a command's result, that it is loading, or why there is none. */
export function Loaded<R>({ of, children }: { of: Answer<R>; children: (value: R) => ComponentChildren }) {
  if (of.problem && !of.value) return <Trouble problem={of.problem} />
  if (!of.value) return <p class="soft">Asking the box…</p>
  return <>{children(of.value)}</>
}

export function Table({ head, children }: { head: readonly string[]; children: ComponentChildren }) {
  return (
    <div class="scrolls">
      <table>
        <thead>
          <tr>
            {head.map((title) => (
              <th key={title} scope="col">
                {title || <span class="hidden">Actions</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  )
}

/** A secret that is shown once and stored nowhere. */
export function Secret({ text, what }: { text: string | undefined; what: string }) {
  if (text === undefined) return null
  return (
    <p class="secret" role="status">
      <code>{text}</code> <Copy text={text} what={what} /> <span class="soft">It is shown only once.</span>
    </p>
  )
}

/** How long ago something was; the exact time on hover. */
export const Ago = ({ at }: { at: string }) => (
  <time dateTime={at} title={moment(new Date(at))}>
    {ago(at, new Date())}
  </time>
)

/** How soon something ends; the exact time on hover. */
export const Until = ({ at }: { at: string }) => (
  <time dateTime={at} title={moment(new Date(at))}>
    {until(at, new Date())}
  </time>
)

/** Links to sibling views. Where they don't all fit, the current one is scrolled into view. */
export function Tabs(props: {
  label: string
  parts: Readonly<Record<string, { title: string }>>
  now: string
  path(key: string): string
}) {
  const { label, parts, now, path } = props
  const current = useRef<HTMLAnchorElement>(null)
  useEffect(() => current.current?.scrollIntoView({ block: 'nearest', inline: 'center' }), [now])
  return (
    <nav class="tabs" aria-label={label}>
      {Object.entries(parts).map(([key, { title }]) => (
        <a
          key={key}
          ref={key === now ? current : null}
          href={path(key)}
          aria-current={key === now ? 'page' : undefined}
        >
          {title}
        </a>
      ))}
    </nav>
  )
}

/** The state of a VM, by shape as well as by colour. */
export function StateMark({ vm }: { vm: Pick<VmView, 'state' | 'wakesAt' | 'wakesFor'> }) {
  const { state } = vm
  const when = wakes(vm, new Date())
  return (
    <span class={`state ${state}`} title={when ? `${wakesWord(vm)} ${when}` : undefined}>
      <i aria-hidden="true" />
      {state}
    </span>
  )
}

export function Trouble({ problem }: { problem: ApiProblem }) {
  return (
    <p class="trouble" role="alert">
      {problem.message} {problem.hint && <span class="soft">{problem.hint}</span>}
    </p>
  )
}

/** What a view shows while it is empty: the next step, and its command line. */
export function Empty({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <section class="empty">
      <h2>{title}</h2>
      {children}
    </section>
  )
}

/** A dialog in front of everything; Escape closes it. */
export function Dialog({ label, onClose, children }: { label: string; onClose(): void; children: ComponentChildren }) {
  const element = useRef<HTMLDialogElement>(null)
  useEffect(() => {
    element.current?.showModal()
  }, [])
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes every dialog
    <dialog
      ref={element}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      onClick={(event) => event.target === element.current && onClose()}
    >
      {children}
    </dialog>
  )
}

/** Short facts with their titles; empty ones are left out. */
export function Facts({ rows }: { rows: readonly (readonly [title: string, says: string | undefined])[] }) {
  return (
    <dl class="facts short">
      {rows.map(
        ([title, says]) =>
          says && (
            <div key={title}>
              <dt>{title}</dt>
              <dd>{says}</dd>
            </div>
          ),
      )}
    </dl>
  )
}

/** Results of `doctor` and similar checks. */
export function CheckList({ checks }: { checks: readonly Check[] }) {
  return (
    <ul class="checks">
      {checks.map(({ what, state, says, advice }) => (
        <li key={what} class={state}>
          <b>{what}</b> {says} {advice && <em>{advice}</em>}
        </li>
      ))}
    </ul>
  )
}
