// Sees to it that the ports of the web addresses are nobody else's: node ports.mjs CONFIG
//
// Where another program holds one, a free one is written into the configuration; what else is in there stays.
// Prints the two ports, then a line for each that is held by another.
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { readConfig } from '../daemon/config.ts'
import { choosePorts, described, holdersOf, otherListeners } from '../daemon/host/web-ports.ts'

const [path] = process.argv.slice(2)

async function main() {
  const { web, port } = await readConfig(path)
  const others = await otherListeners()
  const ports = choosePorts(web, others, [port])
  console.log(ports.http, ports.https)
  for (const holder of holdersOf([web.http, web.https], others)) console.log(described(holder))
  if (ports.http !== web.http || ports.https !== web.https) await write(ports)
}

async function write(ports) {
  const config = JSON.parse(await readFile(path, 'utf8'))
  const { mode } = await stat(path)
  const changed = { ...config, web: { ...config.web, ...ports } }
  await writeFile(`${path}.new`, `${JSON.stringify(changed, null, 2)}\n`, { mode: mode & 0o777 })
  await rename(`${path}.new`, path)
}

main().catch((error) => {
  console.error([error.message, error.hint].filter(Boolean).join('\n'))
  process.exitCode = 1
})
