import type { lifecycleEvents } from './enum-names.ts'

/**
 * libvirt's events, in order. They are hints: events during a lost connection are never sent, so list everything again
 * after each `connected`.
 */
export type LibvirtEvent =
  | { type: 'connected' }
  | { type: 'disconnected'; reason: string }
  | {
      type: 'lifecycle'
      uuid: string
      name: string
      event: (typeof lifecycleEvents)[number]
      /**
       * Why, e.g. for `stopped`: shutdown, destroyed, crashed, migrated, saved, failed, from-snapshot. See
       * enum-names.ts.
       */
      detail: string
    }
  | { type: 'reboot'; uuid: string }
  | { type: 'agent'; uuid: string; state: 'connected' | 'disconnected'; reason: string }
  /** A pass over the memory of a domain begins, in a job that moves it while the domain runs. The first one is 1. */
  | { type: 'memory-pass'; uuid: string; pass: number }
  | { type: 'block-job'; uuid: string; disk: string; job: string; status: string }
  | {
      type: 'io-error'
      uuid: string
      /** The image file. */
      source: string
      /** The device's alias, e.g. `virtio-disk0`. */
      device: string
      /** `pause`: the guest's CPUs are stopped until it is resumed. */
      action: string
      /** `enospc` when the box's disk is full, otherwise mostly empty. */
      reason: string
    }

/**
 * The events child's messages to its parent: a sign of life, a failed attempt to connect, the connection's end, an
 * event.
 */
export type WatchMessage =
  | { type: 'alive' }
  | { type: 'failed'; reason: string }
  | { type: 'lost'; reason: string }
  | { type: 'event'; event: LibvirtEvent }
