import { z } from 'zod'

export const imageSchema = z.object({
  id: z.string(),
  name: z.string(),
  /** False once a newer build has taken the name, or after `image rm`: then kept only while a VM needs it. */
  current: z.boolean(),
  layer: z.string(),
  /** Paths relative to the state folder. */
  kernel: z.string(),
  initrd: z.string(),
  cmdline: z.string(),
  user: z.string(),
  ports: z.array(z.int()),
  version: z.string(),
  diskGiB: z.int(),
  createdAt: z.iso.datetime(),
})

export type Image = z.infer<typeof imageSchema>
