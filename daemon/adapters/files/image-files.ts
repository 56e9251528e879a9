import { chmod, chown, mkdir, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { imageFileNames } from '../../core/image/file-names.ts'
import type { ImageFiles } from '../../core/interfaces/images.ts'
import { CroftError } from '../../lib/error.ts'
import { runProgram } from '../../lib/process/run.ts'
import { wrongIn } from '../../lib/text/wrong-value.ts'
import type { QemuUser } from './files.ts'

/** The content of the `image.json` that a recipe makes. */
const manifest = z.object({
  version: z.string(),
  user: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  ports: z.array(z.int().min(1).max(65535)),
  cmdline: z.string(),
  virtualSizeBytes: z.int().positive(),
})

const buildTimeoutMs = 60 * 60_000

/**
 * Builds and installs images. A recipe is a folder with a program `build OUTDIR` that writes root.qcow2, vmlinuz,
 * initrd and image.json to OUTDIR, and prints its progress as lines `@ <percent> <what it does>`.
 * @param folder the state folder @param recipeFolder the folder of recipe folders
 */
export function makeImageFiles(folder: string, recipeFolder: string, qemu: QemuUser): ImageFiles {
  const workFolder = (id: string) => join(folder, 'building', id)
  return {
    async recipes() {
      const entries = await readdir(recipeFolder, { withFileTypes: true })
      return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
    },

    async build(recipe, id, report, wanted) {
      const out = workFolder(id)
      await mkdir(out, { recursive: true, mode: 0o700 })
      // The build has a PID namespace of its own that ends with the daemon, and all of its processes with it.
      const alone = ['--pdeathsig', 'KILL', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
      await runProgram('setpriv', [...alone, join(recipeFolder, recipe, 'build'), out], {
        timeoutMs: buildTimeoutMs,
        signal: wanted,
        onLine(line) {
          const match = /^@ (\d+(?:\.\d+)?) (.*)$/.exec(line)
          if (match) report(match[2]!, Math.min(Number(match[1]) / 100, 1))
        },
      })
    },

    async place(id) {
      const out = workFolder(id)
      const files = imageFileNames(id)
      await mkdir(join(folder, 'layers'), { recursive: true, mode: 0o711 })
      await mkdir(join(folder, files.folder), { recursive: true, mode: 0o711 })
      for (const [from, to] of [
        ['root.qcow2', files.root],
        ['vmlinuz', files.kernel],
        ['initrd', files.initrd],
      ] as const) {
        // QEMU may read it and never change it: owned by root, shared through its group.
        await chown(join(out, from), 0, qemu.gid)
        await chmod(join(out, from), 0o440)
        await rename(join(out, from), join(folder, to))
      }
      const text = await readFile(join(out, 'image.json'), 'utf8')
      await rm(out, { recursive: true })
      const given: unknown = JSON.parse(text)
      const parsed = manifest.safeParse(given)
      if (!parsed.success) {
        throw new CroftError(
          'program-failed',
          `The recipe made an image.json that can't be used: ${wrongIn(given, parsed.error)}`,
        )
      }
      const { version, user, ports, cmdline, virtualSizeBytes } = parsed.data
      return { version, user, ports, cmdline, diskGiB: Math.ceil(virtualSizeBytes / 2 ** 30) }
    },

    async discard(id) {
      const files = imageFileNames(id)
      for (const path of [workFolder(id), join(folder, files.root), join(folder, files.folder)]) {
        await rm(path, { recursive: true, force: true })
      }
    },
  }
}
