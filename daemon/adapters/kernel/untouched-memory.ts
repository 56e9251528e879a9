import { memoryUsage } from 'node:process'

const pageBytes = 4096
const probeBytes = 48 * 2 ** 20

/**
 * Whether the box's kernel gives memory that is only read pages of its own, as some virtual machines' do. Elsewhere all
 * that was never written is one page of zeroes. QEMU reads all of a guest's memory to save it.
 */
export function readsTakeMemory(): boolean {
  // So much is mapped afresh, and nobody has touched it.
  const fresh = Buffer.allocUnsafeSlow(probeBytes)
  const before = memoryUsage.rss()
  let sum = 0
  for (let at = 0; at < probeBytes; at += pageBytes) sum += fresh[at]!
  return memoryUsage.rss() - before > probeBytes / 2 && sum === 0
}
