import type { Vm } from '../../daemon/store/index.ts'

const kinds = ['shop', 'mail', 'blog', 'wiki', 'build', 'data', 'proxy', 'queue']
const owners = ['anna', 'ben', 'cleo', 'dan']

/** Varied names, tags and comments for many VMs. */
export function varied(i: number): Pick<Vm, 'name' | 'tags' | 'comment'> {
  const kind = kinds[i % kinds.length]!
  const owner = owners[Math.floor(i / 7) % owners.length]!
  return {
    name: `${kind}-${String(i).padStart(4, '0')}`,
    tags: [kind, ...(i % 3 === 0 ? ['live'] : [])],
    comment: i % 5 === 0 ? '' : `made by ${owner}, number ${i}`,
  }
}
