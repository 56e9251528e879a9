import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { dirname, join } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import type { App } from '../commands/serve.ts'
import type { Config } from '../config.ts'
import { CroftError } from '../error.ts'
import { run } from '../host/run.ts'
import { makeHttp } from './app.ts'

/**
 * Opens the API: on a unix socket for root and the group `croft`, and on loopback with a token.
 * @returns a function that closes both, at once
 */
export async function openDoors(app: App, version: string, config: Config): Promise<() => Promise<void>> {
  const gid = await groupId('croft')
  const token = await readToken(join(config.folder, 'token'), gid)
  const hosts = ['localhost', '127.0.0.1', '[::1]'].map((host) => `${host}:${config.port}`)
  const bySocket = createServer(getRequestListener(makeHttp(app, version, { kind: 'socket' }).fetch))
  const byTcp = createServer(getRequestListener(makeHttp(app, version, { kind: 'tcp', token, hosts }).fetch))
  for (const server of [bySocket, byTcp]) {
    server.requestTimeout = 0 // a conversation may last for hours
    server.headersTimeout = 10_000
  }
  await mkdir(dirname(config.socket), { recursive: true, mode: 0o755 })
  await rm(config.socket, { force: true }) // the store's lock says that no other daemon uses it
  await listen(bySocket, { path: config.socket }, config.socket)
  await chmod(config.socket, 0o660)
  await chown(config.socket, 0, gid)
  await listen(byTcp, { host: '127.0.0.1', port: config.port }, `127.0.0.1:${config.port}`)
  return async () => {
    await Promise.all([bySocket, byTcp].map(closeServer))
  }
}

function listen(server: Server, where: { path: string } | { host: string; port: number }, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new CroftError('unavailable', `${name} can't be listened on: ${cause.message}.`, {
          hint: 'Something else uses it; "port" and "socket" in the configuration choose others.',
          cause,
        }),
      ),
    )
    server.listen(where, resolve)
  })
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** The id of a group that may use a socket; root's where there is no such group. */
export async function groupId(name: string): Promise<number> {
  const { code, stdout } = await run('getent', ['group', name], { okCodes: [0, 2] })
  return code === 0 ? Number(stdout.split(':')[2]) : 0
}

/** The token of the box itself, made once, readable by root and the group. */
async function readToken(path: string, gid: number): Promise<string> {
  const known = await readFile(path, 'utf8').catch(() => '')
  if (known.trim()) return known.trim()
  const token = `croft_${randomBytes(24).toString('base64url')}`
  await writeFile(path, `${token}\n`, { mode: 0o640 })
  await chown(path, 0, gid)
  return token
}
