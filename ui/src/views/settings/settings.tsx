import type { ComponentChildren } from 'preact'
import { Tabs } from '../../parts.tsx'
import { Domains } from './domains.tsx'
import { Keys } from './keys.tsx'
import { LinkSettings } from './links.tsx'
import { SignIns } from './sign-ins.tsx'
import { TokenSettings } from './tokens.tsx'

/** The parts of the settings (who and what has access, and under which names), each with a path of its own. */
export const settingsParts: Readonly<Record<string, { title: string; Body(): ComponentChildren }>> = {
  keys: { title: 'SSH keys', Body: Keys },
  tokens: { title: 'Tokens', Body: TokenSettings },
  links: { title: 'Share links', Body: LinkSettings },
  'sign-ins': { title: 'Sign-ins', Body: SignIns },
  domains: { title: 'Domains', Body: Domains },
}

/** @param part undefined for the first part */
export const isSettingsPart = (part: string | undefined): boolean =>
  part === undefined || Object.hasOwn(settingsParts, part)

export function SettingsView({ part = 'keys' }: { part: string | undefined }) {
  const { Body } = settingsParts[part]!
  return (
    <>
      <div class="heading">
        <h1>Settings</h1>
      </div>
      <Tabs label="Settings" parts={settingsParts} now={part} path={(key) => `/settings/${key}`} />
      <Body />
    </>
  )
}
