import { chmod, lstat, opendir, readlink, unlink } from 'node:fs/promises'
import { join, posix } from 'node:path'

/** A removed file: its path within the folder, and what it is. */
export interface LeftOut {
  path: string
  why: string
}

interface Linked {
  paths: string[]
  count: number
}

/**
 * Removes from an unpacked folder everything that reaches beyond it: links that lead outside, devices, pipes, sockets,
 * and files with hard links elsewhere; it also clears the set-user-ID, set-group-ID and sticky bits. The owner can
 * enter every folder afterwards.
 */
export async function tame(root: string): Promise<LeftOut[]> {
  const left: LeftOut[] = []
  const linked = new Map<number, Linked>()
  const leaveOut = async (path: string, why: string) => {
    await unlink(join(root, path))
    left.push({ path, why })
  }

  const walk = async (folder: string): Promise<void> => {
    // Give the owner access first: the guest may have taken it away.
    const { mode } = await lstat(join(root, folder))
    await chmod(join(root, folder), (mode & 0o777) | 0o700)
    for await (const { name } of await opendir(join(root, folder))) {
      const path = join(folder, name)
      const found = await lstat(join(root, path))
      if (found.isDirectory()) await walk(path)
      else if (found.isSymbolicLink()) {
        if (!staysWithin(path, await readlink(join(root, path)))) await leaveOut(path, 'a link that leads outside')
      } else if (found.isFile()) {
        if (found.mode & 0o7000) await chmod(join(root, path), found.mode & 0o777)
        if (found.nlink > 1) {
          const of = linked.get(found.ino) ?? { paths: [], count: found.nlink }
          linked.set(found.ino, { ...of, paths: [...of.paths, path] })
        }
      } else await leaveOut(path, found.isFIFO() ? 'a pipe' : found.isSocket() ? 'a socket' : 'a device')
    }
  }
  await walk('')
  for (const { paths, count } of linked.values())
    if (paths.length < count) for (const path of paths) await leaveOut(path, 'a file with hard links elsewhere')
  return left
}

/**
 * Whether a link stays within the folder, regardless of other links: it may first go up, through real folders, at most
 * to the top, and then only down. Pure.
 * @param path of the link, within the folder
 */
export function staysWithin(path: string, target: string): boolean {
  if (posix.isAbsolute(target)) return false
  const parts = target.split('/').filter((part) => part !== '' && part !== '.')
  const up = parts.findIndex((part) => part !== '..')
  const ups = up < 0 ? parts.length : up
  return ups <= path.split('/').length - 1 && !parts.slice(ups).includes('..')
}
