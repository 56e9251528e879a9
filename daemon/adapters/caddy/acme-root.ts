import { createHash } from 'node:crypto'
import { chmod, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Writes the root certificate by which an ACME CA is known, for Caddy's own user to read. The file's name says what is in it:
 * with another root Caddy's configuration is another, else Caddy would not take it.
 * @param pem null: none is named @returns path of the file
 */
export async function writeAcmeRoot(folder: string, pem: string | null): Promise<string | undefined> {
  if (pem === null) return undefined
  const digest = createHash('sha256').update(pem).digest('hex').slice(0, 12)
  const path = join(folder, `acme-root-${digest}.pem`)
  await writeFile(path, pem)
  await chmod(path, 0o644)
  return path
}

/** Removes the root certificates that are no longer needed. @param needed path of the one that is */
export async function removeOtherAcmeRoots(folder: string, needed: string | undefined): Promise<void> {
  const roots = (await readdir(folder)).filter((name) => /^acme-root-[0-9a-f]{12}\.pem$/.test(name))
  for (const path of roots.map((name) => join(folder, name))) if (path !== needed) await rm(path, { force: true })
}
