const longestLine = 8 * 1024 * 1024

/** Reads the values of a body of JSON lines. Ends at the first line that is not JSON, and when `over` is aborted. */
export async function* readLines(body: ReadableStream<Uint8Array>, over: AbortSignal): AsyncGenerator<unknown> {
  let rest = ''
  const decoder = new TextDecoder()
  const reader = body.getReader()
  over.addEventListener('abort', () => void reader.cancel().catch(() => {}), { once: true })
  for (;;) {
    const { done, value: chunk } = await reader.read()
    if (done) return
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > longestLine) return
    for (const line of lines) {
      if (!line) continue
      try {
        yield JSON.parse(line)
      } catch {
        return
      }
    }
  }
}
