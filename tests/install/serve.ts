import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'

/** serve FOLDER PORT: the files of a folder on loopback, as a release is served. */
const [folder = '.', port = '8099'] = process.argv.slice(2)

createServer(async (request, response) => {
  const path = join(folder, basename(new URL(request.url ?? '/', 'http://localhost').pathname))
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { 'content-length': found.size })
  if (request.method === 'HEAD') response.end()
  else await pipeline(createReadStream(path), response).catch(() => {})
}).listen(Number(port), '127.0.0.1')
