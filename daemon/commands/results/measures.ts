import { z } from 'zod'

/** What answers have in common: a name means one thing in all of them. */

export const ipAddress = z.string().describe('An IP address')
export const webAddress = z.string().describe('Where it is opened by the web')
/** Of a running VM. */
export const memoryBytes = z.number().describe('Memory of the box that it takes now')
export const layerBytes = z.number().describe('Disk of the box that its own layer takes')
export const savedMemoryBytes = z.number().describe('Disk that memory saved with it takes; 0 for none')
export const memoryTotalBytes = z.number().describe('Memory that the box has')
export const diskTotalBytes = z.number().describe('Size of the file system that VMs are on')
