import type { Layer } from '../../store/index.ts'

/** The files of VMs and images in the state folder. Paths are relative to the state folder. */
export interface Files {
  /** Creates an empty layer on its parent for a VM to write; an existing one is overwritten. */
  createDisk(layer: Layer, parent: Layer, diskGiB: number): Promise<void>
  /** Makes a disk or memory file read-only for QEMU. */
  freeze(path: string): Promise<void>
  /** Lets QEMU write a frozen file, until it is frozen again. */
  lend(path: string): Promise<void>
  /** The path of a layer's backing file, as its header names it; undefined when it names none. */
  backing(path: string): Promise<string | undefined>
  /**
   * Rebases a layer that no QEMU has open onto `base`, which lies deeper in its chain: the data in between is copied
   * into the layer.
   */
  rebase(path: string, base: string, signal?: AbortSignal): Promise<void>
  /** Frees clusters in a layer that an interrupted `rebase` reserved and did not use. */
  repair(path: string): Promise<void>
  /**
   * Moves a file that came from outside to its place, read-only for QEMU. A layer gets a new backing file's name in its
   * header: `backing`, or none for null; undefined for files that are no layers.
   */
  adopt(from: string, to: string, backing?: string | null): Promise<void>
  /** Writes a small file whose folder is there or is made; only root may read it. */
  write(path: string, text: string): Promise<void>
  /** Copies a layer, sharing its blocks where the file system can. */
  copy(from: string, to: string, signal?: AbortSignal): Promise<void>
  /** Flushes a file to the disk of the box. */
  sync(path: string): Promise<void>
  /** Puts a file in another's place; processes that have the old one open keep it. */
  replace(from: string, to: string): Promise<void>
  /** Grows the virtual size of a disk that no VM has open. */
  growDisk(layer: Layer, diskGiB: number): Promise<void>
  /** Removes a file or folder; succeeds when there is none. */
  remove(path: string): Promise<void>
  /** Whether a disk has been written since `createDisk` made it. */
  isWritten(layer: Layer): Promise<boolean>
  /** @param path may be absolute, for a file of the box outside the state folder */
  exists(path: string): Promise<boolean>
  /** Bytes that a file or folder takes on the box; 0 when there is none. */
  usage(path: string): Promise<number>
  /** Bytes that are free on the file system of the state folder. */
  freeBytes(): Promise<number>
  /** Lists the files and folders that each belong to one thing and are named after its id. */
  list(): Promise<{ id: string; path: string }[]>
}
