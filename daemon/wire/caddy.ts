import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { removeOtherAcmeRoots, writeAcmeRoot } from '../adapters/caddy/acme-root.ts'
import { makeCaddy } from '../adapters/caddy/client.ts'
import { type CaddyConfig, caddyConfig } from '../adapters/caddy/config.ts'
import { CaddyKeeper } from '../adapters/caddy/configure.ts'
import { caddyVersion, isOlder } from '../adapters/caddy/version.ts'
import type { Config, WebConfig } from '../config.ts'
import type { Store, WebSettings } from '../store/index.ts'
import { endCaddy } from './caddy-process.ts'

/** Returns the folder of passes, which is beside the gate's socket: both are for Caddy alone. */
export const passesOf = (web: WebConfig | false): string => (web ? join(dirname(web.gate), 'passes') : '')

/** Keeps Caddy running the configuration that the settings in the store ask for. */
export function keepCaddy(web: WebConfig, { folder, port }: Config, store: Store, log: Logger) {
  const caddy = makeCaddy(web.admin)
  const make = async ({ domain, tls }: WebSettings) => {
    const root = await writeAcmeRoot(folder, tls.mode === 'acme' ? tls.root : null)
    const permission = `http://127.0.0.1:${port}/api/certificate`
    const old = isOlder(await caddyVersion(), [2, 8])
    return { root, config: caddyConfig({ ...web, passes: passesOf(web), domain, tls, root, permission, old }) }
  }
  // Caddy's configuration is compared with this one every second; it is made anew only when the settings have changed.
  let made: { of: WebSettings; config: CaddyConfig } | undefined
  const current = async () => {
    const settings = store.state.web
    if (made?.of !== settings) {
      const { root, config } = await make(settings)
      await removeOtherAcmeRoots(folder, root)
      made = { of: settings, config }
    }
    return made.config
  }
  const keeper = new CaddyKeeper(caddy, current, () => endCaddy(folder), log)
  return {
    keep: () => keeper.keep(),
    change: (settings: WebSettings) =>
      keeper.change(
        async () => {
          // If Caddy refuses the new one, `current` must write the files again as the settings in the store say.
          made = undefined
          return (await make(settings)).config
        },
        () => store.update((state) => ({ ...state, web: settings })),
      ),
    /** The path at which this box's Caddy keeps the root certificate of its own CA. */
    ownRoot: join(folder, 'caddy/pki/authorities/local/root.crt'),
  }
}
