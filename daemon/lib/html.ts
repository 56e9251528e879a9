/** Text that is put into a page by `html`; only that is taken as markup. */
export interface Html {
  readonly markup: string
}

/** A template of markup: whatever is put into it is text, unless it was made by this too. */
export function html(parts: TemplateStringsArray, ...values: (string | number | Html | readonly Html[])[]): Html {
  const markup = parts.map((part, i) => part + (i < values.length ? markupOf(values[i]!) : '')).join('')
  return { markup }
}

function markupOf(value: string | number | Html | readonly Html[]): string {
  if (typeof value === 'string' || typeof value === 'number') {
    return String(value).replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`)
  }
  return 'markup' in value ? value.markup : value.map(markupOf).join('')
}
