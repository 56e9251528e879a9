import { useSignal } from '@preact/signals'
import { FitAddon } from '@xterm/addon-fit'
import { Terminal as Xterm } from '@xterm/xterm'
import { Fragment } from 'preact'
import { useEffect, useRef } from 'preact/hooks'
import '@xterm/xterm/css/xterm.css'
import type { VmView } from '../box.ts'
import { obeyRules } from '../obey-rules.ts'
import { keys, sequenceOf, type TerminalKey, titles, withCtrl } from '../terminal-keys.ts'

obeyRules(document)

/** Storage key of the terminal that this browser tab last showed for a VM: a reload shows it again. */
const remembered = (vm: VmView) => `terminal of ${vm.id}`

/** A place for a terminal. An open one has an id, one that is about to start has none yet. */
interface Slot {
  key: number
  id: string | undefined
}

let count = 0
const slot = (id?: string): Slot => ({ key: ++count, id })

/** Shells in a VM. They keep running while nobody looks at them. */
export default function TerminalTabs({ vm }: { vm: VmView }) {
  const slots = useSignal<readonly Slot[]>([])
  const shown = useSignal<number | undefined>(undefined)
  useEffect(() => {
    void openIn(vm).then((ids) => {
      slots.value = ids.length > 0 ? ids.map(slot) : [slot()]
      const last = slots.value.find(({ id }) => id !== undefined && id === sessionStorage.getItem(remembered(vm)))
      shown.value = (last ?? slots.value.at(-1)!).key
    })
  }, [vm.id])
  const now = slots.value.find(({ key }) => key === shown.value)
  const show = ({ key, id }: Slot) => {
    shown.value = key
    if (id) sessionStorage.setItem(remembered(vm), id)
  }
  const begin = (instead?: Slot) => {
    const next = slot()
    slots.value = [...slots.value.filter((each) => each !== instead), next]
    show(next)
  }
  return (
    <>
      <div class="terminals" role="toolbar" aria-label="Terminals">
        {slots.value.map((each, i) => (
          <button
            key={each.key}
            type="button"
            class="quiet"
            aria-label={`Terminal ${i + 1}`}
            aria-pressed={each === now}
            onClick={() => show(each)}
          >
            {i + 1}
          </button>
        ))}
        <button type="button" class="quiet" onClick={() => begin()}>
          + new
        </button>
        <span class="soft hint">
          <kbd>Ctrl Shift ↑</kbd> leaves the terminal
        </span>
      </div>
      {now && (
        <Screen
          key={now.key}
          vm={vm}
          id={now.id}
          onId={(id) => {
            sessionStorage.setItem(remembered(vm), id)
            slots.value = slots.value.map((each) => (each.key === now.key ? { ...each, id } : each))
          }}
          onAgain={() => begin(slots.value.find(({ key }) => key === now.key))}
        />
      )}
    </>
  )
}

async function openIn(vm: VmView): Promise<string[]> {
  const answer = await fetch(`/api/terminals?vm=${encodeURIComponent(vm.name)}`).catch(() => undefined)
  if (!answer?.ok) return []
  const { terminals } = (await answer.json()) as { terminals: { id: string }[] }
  return terminals.map(({ id }) => id)
}

const againMs = 1000

/** All other keys go to the shell, Tab among them. Without this one the keyboard could not leave (WCAG 2.1.2). */
const isWayOut = ({ key, ctrlKey, shiftKey }: KeyboardEvent): boolean => key === 'ArrowUp' && ctrlKey && shiftKey

/** One terminal. @param props.id of an open one; without it a new one starts, and `onId` receives its id */
function Screen(props: { vm: VmView; id: string | undefined; onId: (id: string) => void; onAgain: () => void }) {
  const { vm, id, onId, onAgain } = props
  const element = useRef<HTMLDivElement>(null)
  const terminal = useRef<{ screen: Xterm; send(typed: string): void }>(undefined)
  /** Whether the next key is typed with Ctrl. */
  const ctrl = useSignal(false)
  useEffect(() => {
    const screen = new Xterm({
      fontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace',
      fontSize: 13,
      scrollback: 5000,
      minimumContrastRatio: 4.5,
      screenReaderMode: matchMedia('(prefers-reduced-motion: reduce)').matches,
      theme: themeOf(element.current!),
    })
    const fit = new FitAddon()
    screen.loadAddon(fit)
    screen.attachCustomKeyEventHandler((event) => {
      if (!isWayOut(event)) return true
      element.current?.parentElement?.querySelector<HTMLElement>('.terminals [aria-pressed="true"]')?.focus()
      event.preventDefault()
      return false
    })
    screen.open(element.current!)
    fit.fit()
    // On a touch screen this would open the keyboard uninvited.
    if (!byTouch.matches) screen.focus()

    let socket: WebSocket | undefined
    let at = id
    let over = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const connect = () => {
      const query = new URLSearchParams({
        vm: vm.name,
        columns: `${screen.cols}`,
        rows: `${screen.rows}`,
        ...(at && { id: at }),
      })
      socket = new WebSocket(`/api/terminal?${query}`)
      socket.binaryType = 'arraybuffer'
      socket.onmessage = ({ data }) => {
        if (typeof data !== 'string') return screen.write(new Uint8Array(data))
        const told = JSON.parse(data) as { id?: string; ended?: true; problem?: { detail: string; hint?: string } }
        if (told.id) {
          // The output is sent again from the beginning. A different id means a different shell.
          screen.reset()
          if (at !== undefined && at !== told.id)
            screen.write('\x1b[2mThe earlier terminal has ended. This is a new one.\x1b[0m\r\n')
          if (at !== told.id) onId(told.id)
          at = told.id
        }
        if (told.problem) screen.write(`${told.problem.detail} ${told.problem.hint ?? ''}\r\n`)
        if (told.ended || told.problem) {
          over = true
          screen.write('\r\n\x1b[2mThis terminal has ended. Press Enter to open another.\x1b[0m\r\n')
        }
      }
      socket.onclose = () => {
        if (!over) timer = setTimeout(connect, againMs)
      }
    }
    connect()
    const send = (data: string | Uint8Array<ArrayBuffer>) => socket?.readyState === WebSocket.OPEN && socket.send(data)
    const encoder = new TextEncoder()
    const type = (typed: string) => {
      if (over && typed === '\r') onAgain()
      else send(encoder.encode(typed))
    }
    terminal.current = { screen, send: type }
    screen.onData((typed) => {
      // Longer input was pasted, or is xterm.js's own reply to the program.
      const held = ctrl.peek() && typed.length === 1
      type(held ? withCtrl(typed) : typed)
      if (held) ctrl.value = false
    })
    screen.onBinary((bytes) => send(Uint8Array.from(bytes, (letter) => letter.charCodeAt(0))))
    screen.onResize(({ cols: columns, rows }) => send(JSON.stringify({ columns, rows })))
    const watcher = new ResizeObserver(() => fit.fit())
    watcher.observe(element.current!)
    const dark = matchMedia('(prefers-color-scheme: dark)')
    const dress = () => {
      if (element.current) screen.options.theme = themeOf(element.current)
    }
    dark.addEventListener('change', dress)
    return () => {
      over = true
      clearTimeout(timer)
      dark.removeEventListener('change', dress)
      watcher.disconnect()
      socket?.close()
      screen.dispose()
    }
  }, [])
  const press = (key: TerminalKey) => {
    const { screen, send } = terminal.current!
    send(sequenceOf(key, { ctrl: ctrl.value, application: screen.modes.applicationCursorKeysMode }))
    ctrl.value = false
  }
  return (
    <>
      <div ref={element} class="screen" />
      {/* The keys don't take the focus, so that the keyboard stays up. */}
      <div class="keys" role="toolbar" aria-label="Keys" onMouseDown={(event) => event.preventDefault()}>
        {keys.map((key) => (
          <Fragment key={key}>
            <button type="button" aria-label={titles[key]} onClick={() => press(key)}>
              {key}
            </button>
            {key === 'Tab' && (
              <button
                type="button"
                aria-pressed={ctrl.value}
                onClick={() => {
                  ctrl.value = !ctrl.value
                }}
              >
                Ctrl
              </button>
            )}
          </Fragment>
        ))}
      </div>
    </>
  )
}

const byTouch = matchMedia('(pointer: coarse)')

/** Takes the terminal's colours from its element. */
function themeOf(element: HTMLElement) {
  const { color, backgroundColor } = getComputedStyle(element)
  return { foreground: color, background: backgroundColor, cursor: color, selectionBackground: '#8884' }
}
