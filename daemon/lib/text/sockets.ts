export interface Remote {
  /** IPv4, or IPv6 with all its groups: 2001:db8:0:0:0:0:0:1. */
  address: string
  port: number
}

/** TCP_ESTABLISHED in the kernel's net/tcp_states.h. */
const established = '01'
const line = /^\s*\d+: [0-9A-F]{8,32}:[0-9A-F]{4} ([0-9A-F]{32}|[0-9A-F]{8}):([0-9A-F]{4}) ([0-9A-F]{2}) /

/**
 * Parses /proc/net/tcp or /proc/net/tcp6 (proc_net_tcp in the kernel's documentation): a line per socket, with number,
 * local address, remote address, state. An address is made of 32-bit words in the machine's byte order (x86's) in hex,
 * followed by `:` and the port. IPv4 addresses that are mapped into IPv6 are given as IPv4. Pure.
 * @returns the other ends of the established connections
 */
export function remotesIn(text: string): Remote[] {
  return text.split('\n').flatMap((each) => {
    const [, word, port, state] = line.exec(each) ?? []
    return word && port && state === established ? [{ address: addressOf(word), port: Number.parseInt(port, 16) }] : []
  })
}

const mapped = '00000000000000000000ffff'

function addressOf(words: string): string {
  const bytes = Buffer.concat(words.match(/.{8}/g)!.map((word) => Buffer.from(word, 'hex').reverse()))
  const hex = bytes.toString('hex')
  if (hex.length === 8 || hex.startsWith(mapped)) return [...bytes.subarray(-4)].join('.')
  return hex
    .match(/.{4}/g)!
    .map((group) => group.replace(/^0{1,3}/, ''))
    .join(':')
}
