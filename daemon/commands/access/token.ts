import { z } from 'zod'
import type { State, Token } from '../../store/index.ts'

/** Shared by the `token` commands. */

export const tokenResult = z.object({
  id: z.string(),
  name: z.string(),
  /** The one VM that it is for; null for all. */
  vm: z.string().nullable(),
  /** The commands that it can run; null for everything. */
  commands: z.array(z.string()).nullable(),
  createdAt: z.string(),
  /** Null if it does not expire. */
  expiresAt: z.string().nullable(),
})

export type TokenResult = z.infer<typeof tokenResult>

export function describeToken(state: State, token: Token): TokenResult {
  const { id, name, vm, commands, createdAt, expiresAt } = token
  return { id, name, vm: vm && (state.vms[vm]?.name ?? vm), commands, createdAt, expiresAt }
}
