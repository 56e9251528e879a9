import { type Signal, useSignal } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import type { Problem } from './api.ts'
import type { Vm } from './box.ts'
import { lineOf } from './line.ts'
import { type Action, pointedAt, run } from './run.ts'

export function Mark() {
  return (
    <svg class="mark" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M2 2h20v20H2zM2 14h12V2M14 22v-8h8" />
      <rect x="16.5" y="16.5" width="3" height="3" />
    </svg>
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
      type="button"
      class={kind}
      disabled={disabled}
      aria-busy={busy.value}
      aria-label={label}
      title={lineOf(action.command, action.args)}
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

/** A field of one line, with what it is called. */
export function Field(props: { id: string; label: string; of: Signal<string>; placeholder?: string; mono?: boolean }) {
  const { id, label, of, placeholder, mono } = props
  return (
    <>
      <label for={id}>{label}</label>
      <input
        id={id}
        class={mono ? 'mono' : undefined}
        placeholder={placeholder}
        autocomplete="off"
        spellcheck={false}
        value={of.value}
        onInput={(event) => {
          of.value = event.currentTarget.value
        }}
      />
    </>
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
