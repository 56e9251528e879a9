import { z } from 'zod'
import { priorities, type Rates, restartPolicies } from '../../store/index.ts'

/** Building blocks for the arguments of commands. Free text is data: bounded, and without control characters. */

const printable = /^[^\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]*$/

export const vmArg = z.string().min(1).max(64).describe('Name of the VM').meta({ placeholder: 'vm', complete: 'vm' })
export const newNameArg = z.string().min(1).max(64)

export const imageArg = z.string().min(1).max(64).meta({ placeholder: 'image', complete: 'image' })

export const cpuArg = z.int().min(1).max(1024).describe('Virtual CPUs').meta({ placeholder: 'n' })

export const memoryArg = sizeArg('M', 128)
  .describe('The most memory it can use, such as 4G or 512M')
  .meta({ placeholder: 'size' })

export const diskArg = sizeArg('G', 1).describe('Size of its disk, such as 100G').meta({ placeholder: 'size' })

export const priorityArg = z
  .enum(priorities)
  .describe('Its share when CPUs or disks are short: low gets a quarter of what normal gets, high four times as much')

export const restartArg = z
  .enum(restartPolicies)
  .describe('Whether to start it again when it crashes: after a second at first, then after up to 5 minutes')
  .meta({ placeholder: 'when' })

const noLimit = 'none'

/** Rate limits of a VM, as in `rates` of its record; `none` for no limit. */
export const rateArgs = {
  cpuLimit: z
    .string()
    .regex(/^([1-9][0-9]{0,5}%?|none)$/, 'a CPU limit is a percentage of one CPU, such as 150%, or none')
    .transform((text) => (text === noLimit ? null : Number.parseInt(text, 10)))
    .optional()
    .describe('The most CPU time it gets, in percent of one CPU, such as 150%, or none')
    .meta({ placeholder: 'percent' }),
  diskLimit: rateArg(1e6, '1M')
    .optional()
    .describe('The most it reads and writes in all, in bytes per second, such as 50M, or none')
    .meta({ placeholder: 'rate' }),
  netLimit: rateArg(1e5, '100k')
    .optional()
    .describe('The most it sends, and the most it receives, in bits per second, such as 100M, or none')
    .meta({ placeholder: 'rate' }),
}

/** Returns the limits that were given, in the form of `rates`. */
export function ratesFrom(args: {
  cpuLimit?: number | null | undefined
  diskLimit?: number | null | undefined
  netLimit?: number | null | undefined
}): Partial<Rates> {
  const { cpuLimit, diskLimit, netLimit } = args
  return {
    ...(cpuLimit !== undefined && { cpuPercent: cpuLimit }),
    ...(diskLimit !== undefined && { diskBytesPerS: diskLimit }),
    ...(netLimit !== undefined && { netBitsPerS: netLimit }),
  }
}

export const portArg = z
  .int()
  .min(1)
  .max(65535)
  .describe('A port of the VM')
  .meta({ placeholder: 'port', complete: 'port' })

export const tagArg = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,39}$/, 'a tag has 1 to 40 characters of a-z, 0-9, ".", "_" and "-"')
  .meta({ placeholder: 'tag', complete: 'tag' })

export const labelArg = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, 'a label has 1 to 64 letters, digits, ".", "_" and "-"')
  .meta({ placeholder: 'checkpoint', complete: 'checkpoint' })

export const commentArg = z.string().max(200).regex(printable, 'a comment is one line without control characters')

/** The purpose of a link or a token. */
export const nameArg = z
  .string()
  .max(60)
  .regex(/^[\p{L}\p{N} .,'’_@+-]*$/u, "a name can have letters, digits, spaces and . , ' _ @ + -")
  .meta({ placeholder: 'name' })

/** A host name as in RFC 1123; the value is in lower case. */
export const hostNameArg = z
  .string()
  .max(253)
  .transform((text) => text.toLowerCase())
  .pipe(
    z
      .string()
      .regex(
        /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/,
        'a host name looks like box.example.com: letters, digits and "-", separated by dots',
      )
      .regex(/[a-z][a-z0-9-]*$/, 'it looks like an IP address, not a host name'),
  )

export const envArg = z
  .string()
  .max(4096)
  .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}=/, 'write it as NAME=value; the name can have letters, digits and "_"')
  .regex(printable, 'a value is one line without control characters')
  .meta({ placeholder: 'K=V', secret: true })

export const graceArg = z
  .int()
  .min(0)
  .max(3600)
  .default(60)
  .describe('Seconds to wait for the guest to shut down before turning its power off')
  .meta({ placeholder: 'seconds' })

const seconds = { m: 60, h: 3600, d: 86_400 } as const

/** A duration as people write it; the value is in seconds. */
export const durationArg = z
  .string()
  .regex(/^[1-9][0-9]{0,3}[mhd]$/, 'a time is a number and m, h or d, such as 12h')
  .transform((text) => Number(text.slice(0, -1)) * seconds[text.at(-1) as keyof typeof seconds])
  .meta({ placeholder: 'time' })

const units = { M: 1, G: 1024, T: 1024 * 1024 } as const

/** A size as people write it; the value is a whole number of MiB (`M`) or GiB (`G`), which is also the default unit. */
function sizeArg(unit: 'M' | 'G', least: number) {
  return z
    .string()
    .regex(/^[0-9]{1,9}([.][0-9]{1,3})? ?([MGT](i?B)?)?$/i, 'a size is a number and M, G or T, such as 4G')
    .transform((text, context) => {
      const match = /^([0-9.]+) ?([MGT])?/i.exec(text)!
      const scale = units[(match[2]?.toUpperCase() ?? unit) as keyof typeof units] / units[unit]
      const value = Number(match[1]) * scale
      if (value >= least && value <= 2 ** 31) return Math.ceil(value)
      const message = value < least ? `it must be at least ${least}${unit}` : 'no box has that much'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
}

const powers = { k: 1e3, m: 1e6, g: 1e9 } as const

/** A rate per second as people write it, in powers of 1000; null for `none`. */
function rateArg(least: number, leastText: string) {
  return z
    .string()
    .regex(/^([0-9]{1,9}([.][0-9]{1,3})?[kMG]|none)$/i, 'a rate is a number and k, M or G, such as 50M, or none')
    .transform((text, context) => {
      if (text.toLowerCase() === noLimit) return null
      const value = Math.round(Number(text.slice(0, -1)) * powers[text.at(-1)!.toLowerCase() as keyof typeof powers])
      if (value >= least && value <= 1e12) return value
      const message = value < least ? `it must be at least ${leastText}` : 'it must be at most 1000G'
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    })
}
