import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { brotliCompress, gzip } from 'node:zlib'
import type { Context, Hono } from 'hono'
import { signInPage } from '../gate/index.ts'

/** Nothing from other origins, nothing inline, no framing. */
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
  png: 'image/png',
  ico: 'image/x-icon',
}

/** Paths of the views. All of them serve the same page, so that reloads and links from elsewhere work. */
const views = ['/vms', '/vms/:name', '/vms/:name/:tab', '/new', '/images', '/activity', '/settings', '/settings/:part']
const own = 'no-cache, private'

interface File {
  type: string
  tag: string
  content: Uint8Array<ArrayBuffer>
  /** Compressed forms requested so far, by the encoding's name in HTTP. */
  compressed: Map<string, Promise<Uint8Array<ArrayBuffer>>>
}

/** The console's files by path, such as `/assets/index.js`. */
export type ConsoleFiles = ReadonlyMap<string, File>

const encoders: Readonly<Record<string, (content: Uint8Array) => Promise<Uint8Array>>> = {
  br: promisify(brotliCompress),
  gzip: promisify(gzip),
}

/** Reads the console's files. @param folder where `npm run ui` puts them; may be missing */
export async function readConsole(folder: string): Promise<ConsoleFiles> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return new Map(await Promise.all(paths.map(async (path) => [path.slice(folder.length), await read(path)] as const)))
}

/**
 * Adds the console to the site. Its page needs a signed-in browser; the files that it loads are the same for everybody
 * and contain no secrets. For other clients, and for browsers on their way to a VM, the site's own `/` follows. Adds
 * nothing if there are no files.
 */
export function consoleRoutes(site: Hono, files: ConsoleFiles, isSignedIn: (c: Context) => boolean): void {
  const page = files.get('/index.html')
  if (!page) return
  for (const [path, file] of files) {
    if (file === page) continue
    // Files with a digest in their name never change.
    const lasting = path.startsWith('/assets/')
    site.get(path, (c) => send(c, file, lasting ? 'public, max-age=31536000, immutable' : 'no-cache'))
  }
  site.get('/', async (c, next) => (c.req.query('host') === undefined && isSignedIn(c) ? send(c, page, own) : next()))
  for (const view of views) site.get(view, (c) => (isSignedIn(c) ? send(c, page, own) : signInPage()))
}

/** Serves the console's own not-found page for a GET that accepts HTML; undefined for anything else. */
export function notFoundIn(files: ConsoleFiles, c: Context): Promise<Response> | undefined {
  const page = files.get('/index.html')
  const asksForPage = c.req.method === 'GET' && (c.req.header('accept') ?? '').includes('text/html')
  return page && asksForPage ? send(c, page, own, 404) : undefined
}

async function read(path: string): Promise<File> {
  const content = await readFile(path)
  const type = types[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
  return {
    type,
    tag: `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`,
    content: new Uint8Array(content),
    compressed: new Map(),
  }
}

/** Compresses a file on first request, and caches the result. */
function contentAs({ content, compressed }: File, encoding: string): Promise<Uint8Array<ArrayBuffer>> {
  const known = compressed.get(encoding) ?? encoders[encoding]!(content).then((bytes) => new Uint8Array(bytes))
  compressed.set(encoding, known)
  return known
}

async function send(c: Context, file: File, caching: string, status: 200 | 404 = 200): Promise<Response> {
  const { type, tag } = file
  const headers = { ...pageHeaders, 'Content-Type': type, 'Cache-Control': caching, ETag: tag, Vary: 'Accept-Encoding' }
  if (c.req.header('if-none-match') === tag) return c.body(null, 304, headers)
  const accepted = (c.req.header('accept-encoding') ?? '').split(',').map((each) => each.trim().split(';')[0]!)
  const encoding = Object.keys(encoders).find((each) => accepted.includes(each))
  if (!encoding) return c.body(file.content, status, headers)
  return c.body(await contentAs(file, encoding), status, { ...headers, 'Content-Encoding': encoding })
}
