import { memoryUsage } from 'node:process'

const pageBytes = 4096
const probeBytes = 48 * 2 ** 20

/**
 * Whether the box's kernel allocates pages for memory that is only read, as in some virtual machines. Other kernels map
 * all memory that was never written to one page of zeroes. It matters because QEMU reads all of a guest's memory to
 * save it.
 */
export function readsTakeMemory(): boolean {
  // An allocation of this size is newly mapped, and untouched.
  const fresh = Buffer.allocUnsafeSlow(probeBytes)
  const before = memoryUsage.rss()
  let sum = 0
  for (let at = 0; at < probeBytes; at += pageBytes) sum += fresh[at]!
  return memoryUsage.rss() - before > probeBytes / 2 && sum === 0
}
