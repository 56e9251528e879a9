/** How far back it is kept what the box and its VMs used, and how finely. */
export const tiers = {
  '1h': { stepSeconds: 10, slots: 360 },
  '24h': { stepSeconds: 120, slots: 720 },
  '7d': { stepSeconds: 900, slots: 672 },
  '30d': { stepSeconds: 3600, slots: 720 },
} as const

export type Range = keyof typeof tiers
export const ranges = Object.keys(tiers) as [Range, ...Range[]]
