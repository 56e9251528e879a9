export interface Personality {
  name: string
  machineId: string
  /** OpenSSH private key file, and the line of its public half. */
  hostKey: { private: string; public: string }
  /** Lines of authorized_keys, for the login user and for root. */
  authorizedKeys: readonly string[]
  env: Readonly<Record<string, string>>
  /** Now, in seconds since 1970. */
  now: number
}

/**
 * The script that tells a guest who it is. It runs as root through the guest agent, at every start and after a rename,
 * and may run any number of times. Every value goes in as base64 or as digits, so none of them can be taken for shell.
 * Croft's keys and settings go to files of their own; the user's authorized_keys and sshd_config stay the user's.
 * sshd is disturbed only when a file it reads at its start has changed, and then by a restart rather than a reload: open
 * sessions survive both (KillMode=process), but a restart returns when the port is open again (Type=notify). Pure.
 */
export function personalizeScript(who: Personality): string {
  const sshd = [
    'AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/croft_authorized_keys',
    ...sshdEnvironment(who.env),
    '',
  ].join('\n')
  return `set -eu
umask 022
changed=
put() { # path mode content-as-base64
  printf %s "$3" | base64 -d > "$1.croft"
  chmod "$2" "$1.croft"
  cmp -s "$1.croft" "$1" || changed="$changed $1"
  mv -f "$1.croft" "$1"
}
date -s @${Math.floor(who.now)} > /dev/null
name=$(printf %s ${base64(who.name)} | base64 -d)
put /etc/hostname 644 ${base64(`${who.name}\n`)}
hostname "$name"
sed -i '/^127\\.0\\.1\\.1[[:space:]]/d' /etc/hosts
printf '127.0.1.1\\t%s\\n' "$name" >> /etc/hosts
put /etc/machine-id 444 ${base64(`${who.machineId}\n`)}
mkdir -p /etc/croft /etc/ssh/sshd_config.d
put /etc/croft/env 644 ${base64(environmentFile(who.env))}
put /etc/ssh/ssh_host_ed25519_key 600 ${base64(who.hostKey.private)}
put /etc/ssh/ssh_host_ed25519_key.pub 644 ${base64(who.hostKey.public)}
put /etc/ssh/croft_authorized_keys 644 ${base64(who.authorizedKeys.map((line) => `${line}\n`).join(''))}
put /etc/ssh/sshd_config.d/05-croft.conf 644 ${base64(sshd)}
resize2fs /dev/vda > /dev/null 2>&1 || true
if ! systemctl is-active --quiet ssh; then systemctl start ssh
else case "$changed" in *ssh_host_*|*sshd_config.d*) sshd -t && systemctl restart ssh ;; esac; fi
`
}

const base64 = (text: string): string => Buffer.from(text).toString('base64') || "''"

/** One SetEnv line, as sshd takes only the first; it reads its words as quoted strings with backslash escapes. */
function sshdEnvironment(env: Readonly<Record<string, string>>): string[] {
  const words = Object.entries(env).map(([key, value]) => `"${key}=${value.replace(/["\\]/g, '\\$&')}"`)
  return words.length ? [`SetEnv ${words.join(' ')}`] : []
}

/** The same for everything else: a file that both sh (`. /etc/croft/env`) and systemd (`EnvironmentFile=`) can read. */
function environmentFile(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([key, value]) => `${key}="${value.replace(/["\\$`]/g, '\\$&')}"\n`)
    .join('')
}
