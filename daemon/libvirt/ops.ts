/**
 * What a calls child can do: whole operations, each synchronous from opening its handles to reading its error, so that
 * no handle crosses the bridge and each error is its own. They take strings, numbers, booleans and lists, never objects.
 */
import { deviceOps } from './ops/device.ts'
import { domainOps } from './ops/domain.ts'
import { guestOps } from './ops/guest.ts'
import { memoryImageOps } from './ops/memory-image.ts'
import { networkOps } from './ops/network.ts'
import { nodeOps } from './ops/node.ts'
import { statsOps } from './ops/stats.ts'

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
