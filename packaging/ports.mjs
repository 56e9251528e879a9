// Makes sure that no other program has the ports of the web addresses and of SSH: node ports.mjs CONFIG
//
// If another program holds one, a free one is written to the configuration, which otherwise stays as it is. Prints the
// ports of HTTP, HTTPS and SSH and the address at which to test SSH, with - for those that are turned off; then a line
// for each port that another program holds.
import { readFile, rename, stat, writeFile } from 'node:fs/promises'
import { readConfig } from '../daemon/config.ts'
import { choosePort, choosePorts, described, holdersOf, otherListeners } from '../daemon/doctor/web-ports.ts'

const [path] = process.argv.slice(2)

async function main() {
  const { web, ssh, port } = await readConfig(path)
  const others = await otherListeners()
  const webPorts = web ? choosePorts(web, others, [port, ...(ssh ? [ssh.port] : [])]) : {}
  const sshPort = ssh ? choosePort(ssh.port, others, [port, ...Object.values(webPorts)]) : undefined
  const host = ssh ? ({ '::': '127.0.0.1', '0.0.0.0': '127.0.0.1' }[ssh.address] ?? ssh.address) : '-'
  console.log(webPorts.http ?? '-', webPorts.https ?? '-', sshPort ?? '-', host)
  const wanted = [...(web ? [web.http, web.https] : []), ...(ssh ? [ssh.port] : [])]
  for (const holder of holdersOf(wanted, others)) console.log(described(holder))
  if (web && (webPorts.http !== web.http || webPorts.https !== web.https)) await write('web', webPorts)
  if (ssh && sshPort !== ssh.port) await write('ssh', { port: sshPort })
}

async function write(part, values) {
  const config = JSON.parse(await readFile(path, 'utf8'))
  const { mode } = await stat(path)
  const changed = { ...config, [part]: { ...config[part], ...values } }
  await writeFile(`${path}.new`, `${JSON.stringify(changed, null, 2)}\n`, { mode: mode & 0o777 })
  await rename(`${path}.new`, path)
}

main().catch((error) => {
  console.error([error.message, error.hint].filter(Boolean).join('\n'))
  process.exitCode = 1
})
