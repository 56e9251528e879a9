import { type Signal, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Check } from '../../daemon/box/host.ts'
import type { Problem } from './api.ts'
import { type Vm, vms } from './box.ts'
import type { Answer } from './command.ts'
import { type Action, linesOf, pointedAt, run } from './run.ts'

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M2 2h20v20H2zM2 14h12V2M14 22v-8h8" />
      <rect x="16.5" y="16.5" width="3" height="3" />
    </svg>
  )
}

/** Fields and the one button that takes them: Enter does what it does. */
export function Form({ kind, children }: { kind: 'form' | 'row' | 'change'; children: ComponentChildren }) {
  return (
    <form class={kind} onSubmit={(event) => event.preventDefault()}>
      {children}
    </form>
  )
}

/** A button that runs a command, whose command line is shown before. */
export function Act(props: {
  action: Action
  children: ComponentChildren
  kind?: 'main' | 'danger' | 'quiet' | undefined
  disabled?: boolean
  label?: string
  after?: (result: unknown) => void
}) {
  const { action, children, kind, disabled, label, after } = props
  const busy = useSignal(false)
  const point = () => {
    pointedAt.value = action
  }
  const leave = () => {
    if (pointedAt.value === action) pointedAt.value = undefined
  }
  const act = async () => {
    busy.value = true
    const result = await run(action)
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

/** Copies a text, and says so for a moment. */
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

/** A field for text, with what it is called. @param props.rows of one that has several lines, which is mono */
export function Field(props: {
  id: string
  label: string
  of: Signal<string>
  placeholder?: string
  mono?: boolean
  rows?: number
}) {
  const { id, label, of, placeholder, mono, rows } = props
  const field = {
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
    </>
  )
}

/** A choice among few. @param props.options what is chosen, and what it is called */
export function Choose(props: {
  id: string
  label: string
  of: Signal<string>
  options: readonly (readonly [string, string])[]
}) {
  const { id, label, of, options } = props
  return (
    <>
      <label for={id}>{label}</label>
      <select
        id={id}
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
    </>
  )
}

/** A choice among the VMs. @param props.none what it is called when none is chosen */
export function ChooseVm({
  none = 'choose',
  ...rest
}: {
  id: string
  label: string
  of: Signal<string>
  none?: string
}) {
  const names = (vms.value ?? []).map(({ name }) => name).toSorted()
  return <Choose {...rest} options={[['', none], ...names.map((name) => [name, name] as const)]} />
}

/** What a command has answered, or that it is asked, or why there is no answer. */
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
                {title || <span class="hidden">What to do</span>}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  )
}

/** What is shown once and kept nowhere. */
export function Secret({ text, what }: { text: string | undefined; what: string }) {
  if (text === undefined) return null
  return (
    <p class="secret" role="status">
      <code>{text}</code> <Copy text={text} what={what} /> <span class="soft">It is shown once.</span>
    </p>
  )
}

/** The state of a VM: its shape says it as well as its colour does. */
export function State({ vm: { state } }: { vm: Pick<Vm, 'state'> }) {
  return (
    <span class={`state ${state}`}>
      <i aria-hidden="true" />
      {state}
    </span>
  )
}

export function Trouble({ problem }: { problem: Problem }) {
  return (
    <p class="trouble" role="alert">
      {problem.message} {problem.hint && <span class="soft">{problem.hint}</span>}
    </p>
  )
}

/** What a view shows where there is nothing yet: the next step, and how it is typed. */
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
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape closes it, as it does every dialog
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

/** Short facts, each by its title; what says nothing is left out. */
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

/** What `doctor` and its like have seen. */
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
