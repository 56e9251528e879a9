/** Returns a typed number; other text stays as it is, for the daemon to refuse. Pure. */
export const numberIn = (typed: string): number | string => (Number.isNaN(Number(typed)) ? typed.trim() : Number(typed))

/** Where certificates come from, by the mode that `domain ls` names. */
export const certificatesOf = {
  acme: 'by ACME, on demand',
  internal: 'by the box’s own CA',
  off: 'none: plain HTTP',
} as const
