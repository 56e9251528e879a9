import type { Croft } from './croft.ts'

/**
 * A small HTTP/1.1 server for a guest that parses requests strictly and records each as it came. Python's own server
 * makes a thread for each connection, which an emulated guest has no time for.
 *   /        ok                          /seen      the requests since the last /seen, as JSON
 *   /slow    ok, after 12 s              /big       10 GB of zeros, as fast as they are read
 *   /events  an event every 0.2 s        /denied    401 immediately, whatever is sent
 *   an upgrade to a WebSocket: raw bytes back
 */
const script = `
import asyncio, base64, hashlib, json, sys
seen = []
async def serve(port, reader, writer):
    try:
        while await once(port, reader, writer): pass
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError): pass
    finally: writer.close()
async def once(port, reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode("latin-1")
    first, *lines = head[:-4].split("\\r\\n")
    method, target, _ = first.split(" ", 2)
    headers = [line.split(": ", 1) for line in lines]
    fields = {name.lower(): value for name, value in headers}
    body = b""
    if target == "/denied":
        writer.write(b"HTTP/1.1 401 Unauthorized\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n"); await writer.drain()
        seen.append({"target": target, "unread": len(await reader.read(1000000))})
        return False
    if fields.get("expect") == "100-continue": writer.write(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(await reader.readline(), 16): body += (await reader.readexactly(size + 2))[:-2]
        while (await reader.readline()).strip(): pass
    elif "content-length" in fields: body = await reader.readexactly(int(fields["content-length"]))
    if target == "/seen":
        answer = json.dumps(seen); seen.clear()
    else:
        seen.append({"port": port, "method": method, "target": target, "headers": headers, "body": body.decode("latin-1")})
        answer = "ok"
    if "websocket" in fields.get("upgrade", ""):
        key = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        writer.write(f"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: {accept}\\r\\n\\r\\n".encode())
        while some := await reader.read(65536): writer.write(some)
        return False
    if target == "/slow": await asyncio.sleep(12)
    if target == "/big":
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10000000000\\r\\n\\r\\n")
        for _ in range(100000):
            writer.write(bytes(100000)); await writer.drain()
        return True
    if target == "/events":
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\nConnection: close\\r\\n\\r\\n")
        while True:
            writer.write(b"data: tick\\n\\n"); await writer.drain(); await asyncio.sleep(0.2)
    writer.write(f"HTTP/1.1 200 OK\\r\\nContent-Length: {len(answer)}\\r\\n\\r\\n{answer}".encode()); await writer.drain()
    return True
async def main():
    for port in map(int, sys.argv[1:]):
        await asyncio.start_server(lambda r, w, port=port: serve(port, r, w), "0.0.0.0", port, backlog=4096, limit=2**21)
    await asyncio.Event().wait()
asyncio.run(main())
`

/** Starts it in a VM, on these ports. */
export const serveIn = (croft: Croft, vm: string, ...ports: number[]): Promise<void> =>
  servePython(croft, vm, script, ...ports)

/** Starts a Python server in a VM, with the ports as its arguments. Resolves when it listens on them. */
export async function servePython(croft: Croft, vm: string, script: string, ...ports: number[]): Promise<void> {
  const file = `server-${ports.join('-')}.py`
  const start = `tmux new-session -d "ulimit -n 8192; python3 ${file} ${ports.join(' ')}"`
  await croft.do('exec', vm, `cat > ${file} <<'EOF'\n${script}\nEOF\n${start}`)
  await listens(croft, vm, ...ports)
}

/** Waits until something in a VM listens on these ports. */
export async function listens(croft: Croft, vm: string, ...ports: number[]): Promise<void> {
  const all = ports.map((port) => `ss -Hltn sport = ${port} | grep -q .`).join(' && ')
  await croft.do('exec', vm, `until ${all}; do sleep 0.2; done`)
}
