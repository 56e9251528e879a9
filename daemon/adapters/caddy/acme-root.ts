import { createHash } from 'node:crypto'
import { chmod, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Writes the root certificate of an ACME CA to a file that Caddy's user can read. The file's name has a digest of its
 * content, so that another root changes Caddy's configuration; otherwise Caddy would not load it.
 * @param pem null when no root is set @returns path of the file
 */
export async function writeAcmeRoot(folder: string, pem: string | null): Promise<string | undefined> {
  if (pem === null) return undefined
  const digest = createHash('sha256').update(pem).digest('hex').slice(0, 12)
  const path = join(folder, `acme-root-${digest}.pem`)
  await writeFile(path, pem)
  await chmod(path, 0o644)
  return path
}

/** Removes the root certificates that are no longer needed. @param needed path of the one to keep */
export async function removeOtherAcmeRoots(folder: string, needed: string | undefined): Promise<void> {
  const roots = (await readdir(folder)).filter((name) => /^acme-root-[0-9a-f]{12}\.pem$/.test(name))
  for (const path of roots.map((name) => join(folder, name))) if (path !== needed) await rm(path, { force: true })
}
