import { z } from 'zod'
import type { Key, State } from '../../store/index.ts'

/** Shared by the `key` commands. */

export const keyArg = z
  .string()
  .min(1)
  .max(128)
  .describe('Its name or fingerprint')
  .meta({ placeholder: 'key', complete: 'key' })

export const keyNameArg = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9@._-]{0,63}$/, 'a name has 1 to 64 letters, digits, "@", ".", "_" and "-"')
  .meta({ placeholder: 'name' })

export const keyResult = z.object({
  name: z.string(),
  fingerprint: z.string(),
  publicKey: z.string(),
  /** The one VM that it can enter, or the tag of the VMs that it can enter; both null for all. */
  vm: z.string().nullable(),
  tag: z.string().nullable(),
  /** Whether it is the key of a CA: certificates signed with it are accepted. */
  authority: z.boolean(),
  createdAt: z.string(),
})

export type KeyResult = z.infer<typeof keyResult>

export const describeKey = (state: State, { vm, ...key }: Key): KeyResult => ({
  ...key,
  vm: vm && (state.vms[vm]?.name ?? vm),
})
