/**
 * The operations that a calls child offers. Each runs synchronously from opening its handles to reading its error, so
 * that no handle crosses the bridge and no operation reads the error of another. Arguments are strings, numbers,
 * booleans and lists, never objects.
 */
import { deviceOps } from './device.ts'
import { domainOps } from './domain.ts'
import { guestOps } from './guest.ts'
import { memoryImageOps } from './memory-image.ts'
import { networkOps } from './network.ts'
import { nodeOps } from './node.ts'
import { statsOps } from './stats.ts'

export const ops = {
  ...nodeOps,
  ...domainOps,
  ...memoryImageOps,
  ...deviceOps,
  ...statsOps,
  ...guestOps,
  ...networkOps,
}
export type Ops = typeof ops
export type OpName = keyof Ops
