import { z } from 'zod'

/** Properties that results have in common: each name means the same thing in all of them. */

export const ipAddress = z.string().describe('An IP address')
export const webAddress = z.string().describe('Its web address')
/** For a running VM. */
export const memoryBytes = z
  .number()
  .describe('Memory of the box that it has for itself now, without what it shares with other VMs')
export const layerBytes = z.number().describe('Disk of the box that its own layer uses')
export const savedMemoryBytes = z.number().describe('Disk that its saved memory uses; 0 for none')
export const memoryTotalBytes = z.number().describe('Memory of the box')
export const diskTotalBytes = z.number().describe('Size of the file system with the VMs')
