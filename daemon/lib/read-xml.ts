import { XMLParser } from 'fast-xml-parser'

/** An element of XML, read; the names of elements and attributes as they stand, with their prefix. */
export class XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  /** The text right in it, entities decoded. */
  readonly text: string

  constructor(name: string, node: Node) {
    this.name = name
    this.attributes = node[':@'] ?? {}
    const parts = (node[name] ?? []) as Node[]
    this.text = parts.map((part) => part['#text'] ?? '').join('')
    this.children = parts.flatMap((part) => childrenIn(part))
  }

  /** The elements at a path of names beneath it, such as `devices/disk/source`, in the order of the document. */
  all(path: string): XmlElement[] {
    const [first, ...rest] = path.split('/')
    const found = this.children.filter(({ name }) => name === first)
    return rest.length === 0 ? found : found.flatMap((each) => each.all(rest.join('/')))
  }

  /** The first of them. */
  first(path: string): XmlElement | undefined {
    return this.all(path)[0]
  }
}

type Node = Record<string, unknown> & { ':@'?: Record<string, string>; '#text'?: string }

const childrenIn = (node: Node): XmlElement[] =>
  Object.keys(node)
    .filter((name) => name !== ':@' && !name.startsWith('#') && !name.startsWith('?'))
    .map((name) => new XmlElement(name, node))

const parser = new XMLParser({
  preserveOrder: true,
  ignoreAttributes: false,
  attributeNamePrefix: '',
  trimValues: false,
  parseTagValue: false,
  parseAttributeValue: false,
  // Also numbered ones: libvirt writes those.
  htmlEntities: true,
})

/**
 * Reads a document of XML: the one way to read what libvirt says. Pure.
 * @returns its outermost element @throws Error when it has none
 */
export function readXml(text: string): XmlElement {
  const [root] = (parser.parse(text) as Node[]).flatMap(childrenIn)
  if (!root) throw new Error(`No element of XML in ${JSON.stringify(text.slice(0, 60))}.`)
  return root
}
