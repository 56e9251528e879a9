import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { readConfig } from './config.ts'
import { Croftd } from './doors/ssh/croftd.ts'
import { Gateway } from './doors/ssh/server.ts'
import { asCroftError, CroftError } from './lib/error.ts'
import { outliveErrors } from './lib/process/outlive-errors.ts'
import { notifyReady } from './lib/process/systemd.ts'
import { gatewayKeys } from './wire/gateway-process.ts'

/**
 * croft-ssh: the SSH gateway. It is a separate process, so that sessions stay open while the daemon restarts, and runs
 * as a user of its own. It can use only its two keys, the daemon's socket for SSH, and the network to the VMs.
 */
async function main(): Promise<void> {
  const { values } = parseArgs({ options: { config: { type: 'string', default: '/etc/croft/config.json' } } })
  const { ssh, folder } = await readConfig(values.config)
  if (!ssh) throw new CroftError('conflict', 'SSH is turned off in the configuration.')
  const paths = gatewayKeys(folder)
  const [hostKey, key] = await Promise.all([readFile(paths.host), readFile(paths.own)]).catch((cause) => {
    throw new CroftError('unavailable', `The gateway has no keys: ${cause.message}.`, {
      hint: 'The daemon creates them when it starts: systemctl start croft',
      cause,
    })
  })
  const gateway = new Gateway(new Croftd(ssh.socket), hostKey, key, log)
  await gateway.listen(ssh.port, ssh.address).catch((cause) => {
    throw new CroftError('unavailable', `The gateway can't listen on port ${ssh.port}: ${cause.message}.`, {
      hint: 'If another program uses the port, choose a different one in the configuration: "ssh": {"port": …}',
      cause,
    })
  })
  outliveErrors(log)
  await notifyReady()
  log.info({ port: ssh.port, address: ssh.address }, 'ready')
  const signal = await new Promise((resolve) => {
    for (const each of ['SIGTERM', 'SIGINT'] as const) process.once(each, () => resolve(each))
  })
  log.info({ signal }, 'ending')
  gateway.close()
  await new Promise((resolve) => setTimeout(resolve, 200)) // time to tell the clients
}

const log = pino({ level: process.env.CROFT_LOG ?? 'info', base: null })
// If the process runs out of work before it has set its exit code, it has failed.
process.exitCode = 1
main().then(
  () => process.exit(0),
  (thrown) => {
    const error = asCroftError(thrown)
    log.fatal({ err: thrown }, 'could not go on')
    process.stderr.write(`croft-ssh: ${error.message}\n${error.hint ? `${error.hint}\n` : ''}`)
    process.exit(1)
  },
)
