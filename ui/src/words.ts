/** Where certificates come from, by the mode that `domain ls` names. */
export const certificatesOf = {
  acme: 'by ACME, as they are needed',
  internal: 'by the box’s own CA',
  off: 'none: plain HTTP',
} as const
