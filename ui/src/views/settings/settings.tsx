import type { ComponentChildren } from 'preact'
import { Domains } from './domains.tsx'
import { Keys } from './keys.tsx'
import { Links } from './links.tsx'
import { SignIns } from './sign-ins.tsx'
import { Tokens } from './tokens.tsx'

/** Who and what may come in, and by which names: a part each, with a path of its own. */
export const settingsParts: Readonly<Record<string, { title: string; Body(): ComponentChildren }>> = {
  keys: { title: 'SSH keys', Body: Keys },
  tokens: { title: 'Tokens', Body: Tokens },
  links: { title: 'Share links', Body: Links },
  'sign-ins': { title: 'Sign-ins', Body: SignIns },
  domains: { title: 'Domains', Body: Domains },
}

export function SettingsView({ part }: { part: string }) {
  const { title, Body } = settingsParts[part] ?? settingsParts.keys!
  return (
    <>
      <div class="heading">
        <h1>Settings</h1>
      </div>
      <nav class="tabs" aria-label="What there is to set">
        {Object.entries(settingsParts).map(([key, { title: each }]) => (
          <a key={key} href={`/settings/${key}`} aria-current={each === title ? 'page' : undefined}>
            {each}
          </a>
        ))}
      </nav>
      <Body />
    </>
  )
}
