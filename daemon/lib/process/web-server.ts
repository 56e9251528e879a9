import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createAdaptorServer, type WebSocketServerLike } from '@hono/node-server'
import type { Hono } from 'hono'
import { WebSocketServer } from 'ws'

/** The largest message that a client's WebSocket may send, in bytes: a file for a command, in base64. */
const largestMessage = 8 * 1024 * 1024

/** The listen backlog, at Linux's default maximum: a unix socket refuses the next connection immediately. */
export const mostWaiting = 4096

export interface WebServer {
  server: Server
  /** Closes all connections, WebSockets too. Resolves when all are gone. */
  close(): Promise<void>
}

/**
 * Makes a server for a site; it does not listen yet.
 * @param first may handle a request itself: it then returns true, and answers it
 */
export function makeWebServer(
  site: Pick<Hono, 'fetch'>,
  options: ServerOptions = {},
  first: (request: IncomingMessage, response: ServerResponse) => boolean = () => false,
): WebServer {
  const sockets = new WebSocketServer({ noServer: true, maxPayload: largestMessage, perMessageDeflate: false })
  const server = createAdaptorServer({
    fetch: site.fetch,
    serverOptions: options,
    createServer: ((given: ServerOptions, serve: (request: IncomingMessage, response: ServerResponse) => void) =>
      createServer(given, (request, response) => {
        if (!first(request, response)) serve(request, response)
      })) as typeof createServer,
    websocket: { server: sockets as WebSocketServerLike },
  }) as Server
  return {
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
        for (const socket of sockets.clients) socket.terminate()
      }),
  }
}
