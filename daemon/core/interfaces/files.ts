import type { Layer } from '../../store/index.ts'

/** The files of the state folder that are a VM's or an image's. Paths are relative to it. */
export interface Files {
  /** Makes a layer for a VM to write, empty on its parent; one that is there already begins anew. */
  createDisk(layer: Layer, parent: Layer, diskGiB: number): Promise<void>
  /** Takes a disk or memory from whoever wrote it: from now on it is read. */
  freeze(path: string): Promise<void>
  /** Has QEMU write what is frozen, until it is frozen again. */
  lend(path: string): Promise<void>
  /** The path of the layer that the file of another one names as beneath it; undefined when it names none. */
  backing(path: string): Promise<string | undefined>
  /** Puts a layer that no QEMU has open on `base`, which lies deeper in its chain: what was between them is copied in. */
  rebase(path: string, base: string, wanted?: AbortSignal): Promise<void>
  /** Takes back what a `rebase` that was cut off has reserved in a layer and not used. */
  repair(path: string): Promise<void>
  /** Copies a layer, sharing its blocks where the file system can. */
  copy(from: string, to: string, wanted?: AbortSignal): Promise<void>
  /** Has a file's content on the disk of the box. */
  sync(path: string): Promise<void>
  /** Puts a file in another's place; who has that one open keeps it. */
  replace(from: string, to: string): Promise<void>
  /** Grows the virtual size of a disk that no VM has open. */
  growDisk(layer: Layer, diskGiB: number): Promise<void>
  /** Removes a file or folder; one that is not there is removed already. */
  remove(path: string): Promise<void>
  /** Whether a disk has been written since `createDisk` made it. */
  isWritten(layer: Layer): Promise<boolean>
  exists(path: string): Promise<boolean>
  /** Bytes that it takes on the box; nothing when it is not there. */
  usage(path: string): Promise<number>
  /** Bytes that are free where all of this lies. */
  freeBytes(): Promise<number>
  /** The files and folders that belong to one thing each, and have its id for a name. */
  list(): Promise<{ id: string; path: string }[]>
}
