/** Pixels: a phone held upright shows less than this while its keyboard is up. */
const shortBelow = 560

/** Publishes the visible height to the style sheet: on an iPhone the keyboard covers the page without resizing it. */
export function measureSeen(): void {
  const { visualViewport: seen } = window
  const { documentElement: root } = document
  const measure = () => {
    if (!seen || seen.scale > 1) return
    root.style.setProperty('--seen', `${seen.height}px`)
    root.classList.toggle('short', seen.height < shortBelow)
  }
  seen?.addEventListener('resize', measure)
  measure()
}
