import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http'
import { createAdaptorServer, type WebSocketServerLike } from '@hono/node-server'
import type { Hono } from 'hono'
import { WebSocketServer } from 'ws'

/** The largest message that a client's WebSocket may send, in bytes: a file for a command, in base64. */
const largestMessage = 8 * 1024 * 1024

/** Connections that may wait to be taken, as many as Linux allows by itself: at a unix socket one more is refused at once. */
export const mostWaiting = 4096

export interface WebServer {
  server: Server
  /** Ends what is open, WebSockets too. Resolves when all of it has gone. */
  close(): Promise<void>
}

/**
 * A server, not listening yet, for what a site serves.
 * @param first may take a request for itself: then it says so, and answers it
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
