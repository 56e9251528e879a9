import { readdir, readFile, readlink } from 'node:fs/promises'

/**
 * Returns the paths of the files that a process has open for writing: proc(5), `fd` and the flags of open(2) in
 * `fdinfo`.
 * @throws when there is no such process
 */
export async function openForWriting(pid: number): Promise<string[]> {
  const accessMode = 0o3
  const found = (await readdir(`/proc/${pid}/fd`)).map(async (fd) => {
    try {
      const [path, info] = await Promise.all([
        readlink(`/proc/${pid}/fd/${fd}`),
        readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'),
      ])
      const [, flags = '0'] = /^flags:\s*(\d+)$/m.exec(info) ?? []
      return path.startsWith('/') && (Number.parseInt(flags, 8) & accessMode) !== 0 ? [path] : []
    } catch {
      return [] // it has just been closed
    }
  })
  return (await Promise.all(found)).flat()
}
