/** A piece of well-formed XML. Only `xml` creates it. */
export class Xml {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toString(): string {
    return this.text
  }
}

type Value = Xml | string | number | boolean | undefined | readonly Value[]

/**
 * Builds XML from a tagged template. All XML that Croft writes is built with it. Values are escaped for both text and
 * attributes. An `Xml` value, or an array of `Xml` values, is inserted unescaped; `undefined` and `false` insert
 * nothing. Characters that XML 1.0 can't carry (most control characters, lone surrogates) become U+FFFD.
 */
export function xml(strings: TemplateStringsArray, ...values: readonly Value[]): Xml {
  return new Xml(strings.reduce((text, part, i) => text + render(values[i - 1]) + part))
}

function render(value: Value): string {
  if (value === undefined || value === false) return ''
  if (value instanceof Xml) return value.text
  if (Array.isArray(value)) return value.map(render).join('')
  return escapeXml(String(value))
}

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
  '\t': '&#9;',
  '\n': '&#10;',
  '\r': '&#13;',
}

function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"'\t\n\r]/g, (character) => entities[character]!)
}
