import { computed, signal } from '@preact/signals'

/** The current path, in parts: `/vms/web/ports` is `['vms', 'web', 'ports']`. */
const path = signal(location.pathname)
export const route = computed(() => path.value.split('/').filter(Boolean).map(decoded))

/** Malformed percent-encoding stays as it is: it names nothing. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

export function go(to: string, how: 'push' | 'replace' = 'push'): void {
  if (to === location.pathname) return
  history[how === 'push' ? 'pushState' : 'replaceState'](null, '', to)
  path.value = location.pathname
  if (how === 'push') window.scrollTo(0, 0)
}

export const vmPath = (name: string, tab?: string): string => `/vms/${encodeURIComponent(name)}${tab ? `/${tab}` : ''}`

addEventListener('popstate', () => {
  path.value = location.pathname
})

// Our own links navigate without a reload. The browser handles links that open elsewhere.
addEventListener('click', (event) => {
  const link = (event.target as Element).closest?.('a')
  if (!link || link.target || link.origin !== location.origin || event.defaultPrevented) return
  if (event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  event.preventDefault()
  go(link.pathname)
})
