import type { lifecycleEvents } from './enum-names.ts'

/**
 * What happens in libvirt, in its order. Events are hints: what happened while there was no connection is never told,
 * so after each `connected` list everything again.
 */
export type LibvirtEvent =
  | { type: 'connected' }
  | { type: 'disconnected'; reason: string }
  | {
      type: 'lifecycle'
      uuid: string
      name: string
      event: (typeof lifecycleEvents)[number]
      /** Why, e.g. for `stopped`: shutdown, destroyed, crashed, migrated, saved, failed, from-snapshot. See words.ts. */
      detail: string
    }
  | { type: 'reboot'; uuid: string }
  | { type: 'agent'; uuid: string; state: 'connected' | 'disconnected'; reason: string }
  | { type: 'block-job'; uuid: string; disk: string; job: string; status: string }
  | {
      type: 'io-error'
      uuid: string
      /** The image file. */
      source: string
      /** The device's alias, e.g. `virtio-disk0`. */
      device: string
      /** `pause`: the guest's CPUs stand still until it is resumed. */
      action: string
      /** `enospc` for a full disk of the box, else mostly empty. */
      reason: string
    }

/** What the events child tells the parent: sign of life, a failed try to connect, the connection's end, or an event. */
export type WatchMessage =
  | { type: 'alive' }
  | { type: 'failed'; reason: string }
  | { type: 'lost'; reason: string }
  | { type: 'event'; event: LibvirtEvent }
