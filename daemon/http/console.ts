import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import { type Context, Hono } from 'hono'
import { signInPage } from '../gate/index.ts'

/** Nothing from elsewhere, nothing that is written into the page, and nobody shows it in a frame. */
const pageHeaders: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Permissions-Policy': 'camera=(), microphone=(), geolocation=()',
  'Referrer-Policy': 'same-origin',
  'X-Content-Type-Options': 'nosniff',
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Paths of the views, which are all one page: a reload and a link from elsewhere lead to the same. */
const views = ['/vms', '/vms/*', '/new', '/images']
const own = 'no-cache, private'

interface File {
  type: string
  tag: string
  /** By the encoding's name in HTTP; '' for as it is. */
  as: Record<string, Uint8Array<ArrayBuffer>>
}

/**
 * The console's files, read once and compressed once. The page itself is for who is signed in; what it loads is the
 * same for all and has no secret. What `/` is for others, and for who is on his way to a VM, comes after in the site.
 * @param folder where `npm run ui` has put them @returns undefined when there are none
 */
export async function makeConsole(folder: string, isSignedIn: (c: Context) => boolean): Promise<Hono | undefined> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = new Map<string, File>()
  for (const entry of names) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    files.set(path.slice(folder.length), await read(path))
  }
  const page = files.get('/index.html')
  if (!page) return undefined
  files.delete('/index.html')

  const site = new Hono()
  for (const [path, file] of files) {
    // What has its digest in its name never changes.
    const lasting = path.startsWith('/assets/')
    site.get(path, (c) => send(c, file, lasting ? 'public, max-age=31536000, immutable' : 'no-cache'))
  }
  site.get('/', async (c, next) => (c.req.query('host') === undefined && isSignedIn(c) ? send(c, page, own) : next()))
  for (const view of views) site.get(view, (c) => (isSignedIn(c) ? send(c, page, own) : signInPage()))
  return site
}

async function read(path: string): Promise<File> {
  const content = await readFile(path)
  const type = types[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
  const [br, zipped] = await Promise.all([promisify(brotliCompress)(content), promisify(gzip)(content)])
  return {
    type,
    tag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
    as: { br: new Uint8Array(br), gzip: new Uint8Array(zipped), '': new Uint8Array(content) },
  }
}

function send(c: Context, { type, tag, as }: File, caching: string): Response {
  const headers = { ...pageHeaders, 'Content-Type': type, 'Cache-Control': caching, ETag: tag, Vary: 'Accept-Encoding' }
  if (c.req.header('if-none-match') === tag) return c.body(null, 304, headers)
  const accepted = (c.req.header('accept-encoding') ?? '').split(',').map((each) => each.trim().split(';')[0]!)
  const encoding = ['br', 'gzip'].find((each) => accepted.includes(each)) ?? ''
  return c.body(as[encoding]!, 200, { ...headers, ...(encoding && { 'Content-Encoding': encoding }) })
}
