import { XMLParser } from 'fast-xml-parser'

/** A parsed XML element. The names of elements and attributes include their namespace prefixes. */
export class XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  /** The element's own text without that of its children, with entities decoded. */
  readonly text: string

  constructor(name: string, node: Node) {
    this.name = name
    this.attributes = node[':@'] ?? {}
    const parts = (node[name] ?? []) as Node[]
    this.text = parts.map((part) => part['#text'] ?? '').join('')
    this.children = parts.flatMap((part) => childrenIn(part))
  }

  /** Returns the descendants at a path of names, such as `devices/disk/source`, in document order. */
  all(path: string): XmlElement[] {
    const [first, ...rest] = path.split('/')
    const found = this.children.filter(({ name }) => name === first)
    return rest.length === 0 ? found : found.flatMap((each) => each.all(rest.join('/')))
  }

  /** Returns the first descendant at a path. */
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
  // Needed for numeric character references, which libvirt writes.
  htmlEntities: true,
})

/**
 * Parses an XML document. All XML from libvirt is read with this function. Pure.
 * @returns the root element @throws Error when there is none
 */
export function readXml(text: string): XmlElement {
  const [root] = (parser.parse(text) as Node[]).flatMap(childrenIn)
  if (!root) throw new Error(`No XML element in ${JSON.stringify(text.slice(0, 60))}.`)
  return root
}
