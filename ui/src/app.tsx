import { useComputed, useSignalEffect } from '@preact/signals'
import type { ComponentChildren } from 'preact'
import { trouble, vms } from './box.ts'
import { openPalette, Palette, paletteIsOpen } from './palette.tsx'
import { Copy, Dialog, Mark } from './parts.tsx'
import { route } from './route.ts'
import { forget, linesOf, pointedAt, question, running } from './run.ts'
import { ActivityView } from './views/activity.tsx'
import { BackupsView } from './views/backups.tsx'
import { BoxView } from './views/box.tsx'
import { ImagesView } from './views/images.tsx'
import { NewView } from './views/new.tsx'
import { isSettingsPart, SettingsView } from './views/settings/settings.tsx'
import { isVmTab, VmPage } from './views/vm.tsx'
import { VmsView } from './views/vms.tsx'

const places = [
  ['', 'Box'],
  ['vms', 'VMs'],
  ['images', 'Images'],
  ['backups', 'Backups'],
  ['activity', 'Activity'],
  ['settings', 'Settings'],
] as const

function view(): ComponentChildren {
  const [place = '', name, tab, ...more] = route.value
  if (place === '') return <BoxView />
  if (place === 'new' && !name) return <NewView />
  if (place === 'images' && !name) return <ImagesView />
  if (place === 'backups' && !name) return <BackupsView />
  if (place === 'activity' && !name) return <ActivityView />
  if (place === 'settings' && isSettingsPart(name) && !tab) return <SettingsView part={name} />
  if (place === 'vms' && isVmTab(tab) && more.length === 0)
    return name ? <VmPage key={name} name={name} tab={tab} /> : <VmsView />
  return (
    <section class="empty">
      <h1>Nothing here</h1>
      <p>
        There is no page at <code>{location.pathname}</code>. <a href="/">The box</a> is a good place to start.
      </p>
    </section>
  )
}

/** Sets the browser tab's title, and its icon: whether something needs a look. */
function nameTab(): void {
  const [place, name] = route.value
  const title = place === 'vms' && name ? name : places.find(([each]) => each === (place ?? ''))?.[1]
  document.title = title && place ? `${title} · Croft` : 'Croft'
  const needsLook = trouble.value !== undefined || vms.value?.some(({ state }) => state === 'crashed')
  document.querySelector<HTMLLinkElement>('link[type="image/svg+xml"]')!.href = needsLook
    ? '/mark-look.svg'
    : '/mark.svg'
}

export function App() {
  useSignalEffect(nameTab)
  const here = useComputed(() => route.value[0] ?? '')
  return (
    <>
      <a class="skip" href="#main">
        Skip to content
      </a>
      <header>
        <a href="/" class="home" aria-label="Croft, the box">
          <Mark />
          <b>croft</b>
        </a>
        <button type="button" class="find" onClick={openPalette}>
          find or do… <kbd class="hint">{/Mac/.test(navigator.platform) ? '⌘' : 'Ctrl'} K</kbd>
        </button>
        <Connection />
      </header>
      <nav aria-label="Main">
        {places.map(([place, title]) => (
          <a key={place} href={`/${place}`} aria-current={here.value === place ? 'page' : undefined}>
            {title}
            {place === 'vms' && vms.value && <span class="count">{vms.value.length}</span>}
          </a>
        ))}
      </nav>
      <main id="main">{view()}</main>
      <CommandBar />
      {question.value && <Question />}
      {paletteIsOpen.value && <Palette />}
    </>
  )
}

function Connection() {
  const { value: problem } = trouble
  if (!problem) return <span class="where">{location.host}</span>
  const signedOut = problem.code === 'not-allowed'
  return (
    <span class="where lost" role="status">
      {signedOut ? (
        <>
          signed out ·{' '}
          <a href="/" target="_self">
            sign in
          </a>
        </>
      ) : (
        problem.message
      )}
    </span>
  )
}

/** The one place that shows a button's command line, and the progress and outcome of what runs. */
function CommandBar() {
  const last = running.value.at(-1)
  const shown = pointedAt.value ?? last
  const line = shown && linesOf(shown)
  return (
    <footer class={last ? 'busy' : undefined}>
      <code>
        {'$ '}
        {line || <span class="soft">the command line of a button appears here</span>}
      </code>
      <span class="outcome" role="status">
        {last && <Outcome {...last} />}
      </span>
      {line && <Copy text={line} what="the command line" />}
    </footer>
  )
}

function Outcome({ id, progress, outcome, done }: (typeof running.value)[number]) {
  if (outcome === 'done') return <span class="good">{done ?? 'done'}</span>
  if (outcome)
    return (
      <span class="bad">
        {outcome.message} {outcome.hint}{' '}
        <button type="button" class="quiet" onClick={() => forget(id)}>
          close
        </button>
      </span>
    )
  if (!progress) return <span>…</span>
  return (
    <span>
      {progress.subject}{' '}
      {progress.fraction !== undefined && <progress value={progress.fraction} aria-label="Progress" />} {progress.step}
    </span>
  )
}

function Question() {
  const { words, action, answer } = question.value!
  const { verb = 'Do it' } = action
  return (
    <Dialog label={`${verb}?`} onClose={() => answer(false)}>
      <div class="words">
        {words.map((each) => (
          <p key={each}>{each}</p>
        ))}
      </div>
      <p>
        <code>{linesOf(action, { yes: true })}</code>
      </p>
      <p class="buttons">
        <button type="button" onClick={() => answer(false)} autofocus>
          Keep {words.length === 1 ? 'it' : 'them'}
        </button>
        <button type="button" class="danger" onClick={() => answer(true)}>
          {verb}
        </button>
      </p>
    </Dialog>
  )
}
