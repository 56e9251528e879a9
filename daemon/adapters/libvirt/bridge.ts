/** The program of a bridge child: `bridge.ts events|calls <uri> <pid of the parent>`. It ends with its parent. */
import { flushCompileCache } from 'node:module'
import { dieWithParent, silenceErrors } from './binding/ffi.ts'
import { serve } from './serve.ts'
import { watchDomains } from './watch.ts'

const [role, uri = '', parent] = process.argv.slice(2)

dieWithParent()
if (process.ppid !== Number(parent)) process.exit(0) // it died before dieWithParent took effect
// A signal to the whole process group (Ctrl-C, systemd) is for the parent, which may still need libvirt to shut down.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})
silenceErrors()

// A send that fails means that the parent is gone; the event `disconnect` says so, too.
const send = (message: unknown) => process.send?.(message, () => {})
const end = role === 'events' ? watchDomains(uri, send) : serve(uri, send)
process.on('disconnect', end)
if (!process.connected) end()

// With NODE_COMPILE_CACHE set, later children neither strip types nor compile: each saves 25 MiB and 0.2 s.
flushCompileCache()
