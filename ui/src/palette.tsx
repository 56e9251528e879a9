import { signal, useComputed, useSignal } from '@preact/signals'
import { actionsOf } from './actions.ts'
import { vms } from './box.ts'
import { Dialog } from './parts.tsx'
import { go, vmPath } from './route.ts'
import { linesOf, runAction, type UserAction } from './run.ts'
import { settingsParts } from './views/settings/settings.tsx'

export const paletteIsOpen = signal(false)
export const openPalette = (): void => {
  paletteIsOpen.value = true
}

addEventListener('keydown', (event) => {
  if (event.key.toLowerCase() !== 'k' || !(event.metaKey || event.ctrlKey) || event.shiftKey || event.altKey) return
  event.preventDefault()
  paletteIsOpen.value = !paletteIsOpen.value
})

interface Choice {
  words: string
  hint(): string
  choose(): void
}

const mostShown = 12

function choices(): Choice[] {
  const place = (words: string, path: string): Choice => ({ words, hint: () => path, choose: () => go(path) })
  const act = (words: string, action: UserAction): Choice => ({
    words,
    hint: () => linesOf(action),
    choose: () => void runAction(action),
  })
  const all = vms.value ?? []
  return [
    ...all.map((vm) => place(vm.name, vmPath(vm.name))),
    place('New VM', '/new'),
    place('Box', '/'),
    place('VMs', '/vms'),
    place('Images', '/images'),
    place('Backups', '/backups'),
    place('Activity', '/activity'),
    ...Object.entries(settingsParts).map(([key, { title }]) => place(title, `/settings/${key}`)),
    ...all.flatMap((vm) => actionsOf(vm).map(({ title, action }) => act(`${title} ${vm.name}`, action))),
  ]
}

/** Whether each typed word is the beginning of a word of a choice. */
function fits(typed: string, words: string): boolean {
  const have = words.toLowerCase().split(/[\s-]+/)
  const whole = words.toLowerCase()
  return typed
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .every((word) => whole.startsWith(word) || whole.includes(` ${word}`) || have.some((each) => each.startsWith(word)))
}

/** Finds pages, VMs and actions by typing. */
export function Palette() {
  const typed = useSignal('')
  const at = useSignal(0)
  const all = useComputed(choices)
  const shown = useComputed(() => {
    const found: Choice[] = []
    for (const choice of all.value) {
      if (fits(typed.value, choice.words)) found.push(choice)
      if (found.length === mostShown) break
    }
    return found
  })
  const close = () => {
    paletteIsOpen.value = false
  }
  const choose = (choice: Choice | undefined) => {
    if (!choice) return
    close()
    choice.choose()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key]
    if (step) {
      event.preventDefault()
      at.value = (at.value + step + shown.value.length) % Math.max(1, shown.value.length)
    } else if (event.key === 'Enter') {
      event.preventDefault()
      choose(shown.value[at.value])
    }
  }
  return (
    <Dialog label="Find or do" onClose={close}>
      <div class="palette">
        <input
          type="text"
          // biome-ignore lint/a11y/noRedundantRoles: an input without a list is not a combobox yet
          role="combobox"
          list={undefined}
          aria-label="Find or do"
          aria-expanded="true"
          aria-controls="choices"
          aria-activedescendant={`choice-${at.value}`}
          placeholder="a VM, a page, or an action"
          autocomplete="off"
          spellcheck={false}
          autofocus
          onInput={(event) => {
            typed.value = event.currentTarget.value
            at.value = 0
          }}
          onKeyDown={onKeyDown}
        />
        <div role="listbox" id="choices" aria-label="Matches">
          {shown.value.map((choice, i) => (
            // biome-ignore lint/a11y/useKeyWithClickEvents: the keys go to the field above
            <div
              key={choice.words}
              id={`choice-${i}`}
              role="option"
              tabIndex={-1}
              aria-selected={i === at.value}
              onPointerMove={() => {
                at.value = i
              }}
              onClick={() => choose(choice)}
            >
              {choice.words} <code>{choice.hint()}</code>
            </div>
          ))}
        </div>
        {shown.value.length === 0 && <p class="soft">No matches.</p>}
      </div>
    </Dialog>
  )
}
