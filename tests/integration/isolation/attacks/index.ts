import { arpClaims, spoofed } from './addresses.ts'
import type { Attack } from './attack.ts'
import { dhcpAttacks } from './dhcp.ts'
import { kinds } from './kinds.ts'
import { neighbour, outwards, services } from './ways.ts'

export const attacks: readonly Attack[] = [
  ...arpClaims,
  ...spoofed,
  ...outwards,
  ...neighbour,
  ...kinds,
  ...services,
  ...dhcpAttacks,
]
