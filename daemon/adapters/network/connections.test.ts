import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { expect, test } from 'vitest'
import { parseConnections, readConnections } from './connections.ts'

test('finds open connections, by the address and port of their remote end', () => {
  const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1B9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20201 1 0000000000000000 100 0 0 10 0
   1: 0100570A:9C40 0A00570A:0016 01 00000000:00000000 02:000A7214 00000000     0        0 35712 2 0000000000000000 20 4 30 10 -1
   2: 0100570A:9C42 0A00570A:1F90 01 00000000:00000000 02:000A7214 00000000     0        0 35713 2 0000000000000000 20 4 30 10 -1
   3: 0100570A:9C44 0B00570A:0016 06 00000000:00000000 03:00000D5C 00000000     0        0 0 3 0000000000000000
`
  expect(parseConnections(text)).toEqual(new Map([['10.87.0.10', [22, 8080]]]))
})

test('a connection of this process is among the box’s, until it ends', async () => {
  const server = createServer().listen(0, '127.0.0.77')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const socket = connect(port, '127.0.0.77')
  const [[peer]] = await Promise.all([once(server, 'connection'), once(socket, 'connect')])
  expect((await readConnections()).get('127.0.0.77')).toContain(port)
  socket.destroy()
  await once(peer.resume(), 'close')
  expect((await readConnections()).get('127.0.0.77') ?? []).not.toContain(port)
  server.close()
})
