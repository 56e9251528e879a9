/**
 * xterm.js writes style elements and attributes. The page's rules (Content-Security-Policy without `unsafe-inline`)
 * forbid these, and allow styles that are set through the DOM. So from here on a style element becomes a sheet of the
 * document, and a style attribute is set as properties. This affects the whole page: xterm.js 6.0 does not keep to the
 * document that it is given.
 */
export function obeyRules(page: Document): void {
  const create = page.createElement.bind(page)
  page.createElement = ((name: string, options?: ElementCreationOptions) =>
    name === 'style' ? asSheet(page, create('template')) : create(name, options)) as Document['createElement']
  const { setAttribute } = Element.prototype
  Element.prototype.setAttribute = function (key, value) {
    if (key === 'style' && this instanceof HTMLElement) this.style.cssText = value
    else setAttribute.call(this, key, value)
  }
}

/** Makes an element whose text becomes a style sheet; removing the element removes the sheet. */
function asSheet(page: Document, element: HTMLElement): HTMLElement {
  const sheet = new CSSStyleSheet()
  page.adoptedStyleSheets.push(sheet)
  Object.defineProperty(element, 'textContent', {
    get: () => '',
    set: (text: string) => sheet.replaceSync(text),
  })
  const remove = element.remove.bind(element)
  element.remove = () => {
    page.adoptedStyleSheets = page.adoptedStyleSheets.filter((each) => each !== sheet)
    remove()
  }
  return element
}
