import { createHash } from 'node:crypto'

export interface Personality {
  name: string
  machineId: string
  /** OpenSSH private key file, and the line of its public half. */
  hostKey: { private: string; public: string }
  /** Lines of authorized_keys, for the login user and for root. */
  authorizedKeys: readonly string[]
  env: Readonly<Record<string, string>>
  /** MAC address, IPv4 address with prefix length, and the box's address on the same network. */
  network: { mac: string; address: string; gateway: string }
  /**
   * Whether it has just booted: its network card is its own, and its disk may have grown. Otherwise it may be a fork.
   */
  booted: boolean
  /** Now, in seconds since 1970. */
  now: number
  /** Random hexadecimal digits, for the guest's random number generator. */
  entropy: string
}

/**
 * Returns the script that tells a guest who it is. It runs as root through the guest agent at every start, fork and
 * wake and after a rename, and is idempotent. Values are quoted, so the shell never interprets them. A fork waits for
 * the script, so it starts as few programs as possible, in parallel; the shell writes the files itself. Croft's keys
 * and settings go to files of their own; Croft does not change the user's authorized_keys and sshd_config, nor a host
 * name other than the one that Croft set last (/etc/croft/name), nor anything in /etc/hosts but that name. A step that
 * fails stops no other: its name goes to standard output, as one word.
 *
 * The script waits for no service. systemd holds the port of SSH and starts sshd at the first connection, so the script
 * only ends an sshd that runs with an older host key or older settings (its sessions stay). The journal's daemon, too,
 * comes back by itself, and then writes under the new machine-id. Pure.
 */
export function personalizeScript(who: Personality): string {
  const sshd = [
    'AuthorizedKeysFile .ssh/authorized_keys /etc/ssh/croft_authorized_keys',
    ...sshdEnvironment(who.env),
    '',
  ].join('\n')
  const stamp = createHash('sha256').update(who.hostKey.public).update(sshd).digest('hex')
  const { address } = who.network
  return `set -uf
umask 022
failed=
[ -d /etc/croft ] || mkdir /etc/croft
put() { { printf %s "$2" > "$1"; } 2> /dev/null || failed="$failed $1"; } # path content
was() { was=; { IFS= read -r was < "$1"; } 2> /dev/null || [ "$was" ]; } # path: its first line
date -s @${who.now.toFixed(2)} > /dev/null &
clock=$!
put /dev/urandom ${quote(who.entropy)}
${who.booted ? '' : reseed}name=${quote(who.name)}
was /etc/hostname
host=$was
was /etc/croft/name || was=$host
old=$was
if [ "$host" != "$name" ] && { [ "$host" = "$old" ] || [ ! "$host" ]; }; then
  host=$name
  put /etc/hostname "$name
"
fi
was /proc/sys/kernel/hostname
case $was in "$host") ;; ${who.booted ? '*' : '"$old" | ""'}) put /proc/sys/kernel/hostname "$host" ;; esac
put /etc/croft/name "$name
"
${nameInHosts}
put /etc/croft/env ${quote(environmentFile(who.env))}
put /etc/ssh/croft_authorized_keys ${quote(who.authorizedKeys.map((line) => `${line}\n`).join(''))}
put /etc/ssh/sshd_config.d/05-croft.conf ${quote(sshd)}
put /etc/ssh/ssh_host_ed25519_key.pub ${quote(who.hostKey.public)}
umask 077
put /etc/ssh/ssh_host_ed25519_key ${quote(who.hostKey.private)}
umask 022
was /run/croft-sshd
if [ "$was" != ${stamp} ]; then
  put /run/croft-sshd "${stamp}
"
  if was /run/sshd.pid; then kill "$was" 2> /dev/null; fi
fi
was /etc/machine-id
if [ "$was" != ${quote(who.machineId)} ]; then
  put /etc/machine-id ${quote(`${who.machineId}\n`)}
${who.booted ? '' : newBootId}  if was /sys/fs/cgroup/system.slice/systemd-journald.service/cgroup.procs; then kill "$was" 2> /dev/null; fi
fi
${who.booted ? awaitAddress(address) : takeAddress(who.network)}put /run/croft-address "${address}
"
wait "$clock" || failed="$failed clock"
${who.booted ? 'resize2fs /dev/vda > /dev/null 2>&1' : 'wait "$seed"'}
printf %s "$failed"
`
}

/** Replaces the name in /etc/hosts that Croft set before (`$old`) by the new one, or adds the new one. */
const nameInHosts = `hosts=
changed=
there=
while IFS= read -r line || [ "$line" ]; do
  case $line in
    127.0.1.1[[:space:]]*)
      names=
      for word in \${line#127.0.1.1}; do
        if [ "$word" = "$old" ] && [ "$old" != "$name" ]; then
          word=$name
          changed=yes
        fi
        if [ "$word" = "$name" ]; then there=yes; fi
        names="$names\${names:+ }$word"
      done
      if [ "$changed" ]; then line="127.0.1.1	$names"; fi ;;
  esac
  hosts="$hosts$line
"
done 2> /dev/null < /etc/hosts
if [ ! "$there" ]; then
  changed=yes
  hosts="\${hosts}127.0.1.1	$name
"
fi
if [ "$changed" ]; then put /etc/hosts "$hosts"; fi`

/**
 * Makes the kernel use the entropy that it was just given now, and not within a minute; until then, a fork would get
 * the same random numbers as its parent and siblings. The change of the genid has the same effect, and sooner, but one
 * in some hundred forks misses it. RNDRESEEDCRNG: https://man7.org/linux/man-pages/man4/random.4.html
 */
const reseed = `perl -e 'open F, ">", "/dev/urandom" and ioctl F, 0x5207, 0 or exit 1' &
seed=$!
`

/** Waits until a guest that has booted has its address, which it gets by DHCP. */
const awaitAddress = (address: string): string => `wait=0
until [ $wait = 200 ] || case $(ip -4 -oneline address show dev eth0 2> /dev/null) in *" ${address} "*) ;; *) false ;; esac; do
  sleep 0.1
  wait=$((wait + 1))
done
[ $wait != 200 ] || failed="$failed address"
`

/**
 * A fork has its parent's boot ID, which the kernel never changes. So a file is mounted over it, as systemd-nspawn
 * does; programs that have read it before keep the old one.
 * https://www.freedesktop.org/software/systemd/man/latest/sd_id128_get_boot.html
 */
const newBootId = `  was /proc/sys/kernel/random/uuid
  put /run/croft-boot-id "$was
"
  boot=$was
  was /proc/sys/kernel/random/boot_id
  [ "$was" = "$boot" ] || mount --bind /run/croft-boot-id /proc/sys/kernel/random/boot_id || failed="$failed boot-id"
`

/**
 * Replaces the MAC and addresses of a fork's network card, which are still its parent's. The link stays up, because
 * taking it down now and then makes the driver wait forever (virtio_net of Linux 6.12, in one of 20 copies of a busy
 * VM). Connections from the old address are killed; that address is in the file that the parent's own run of this
 * script left. The address is set here so that nothing waits for DHCP, which then confirms it. The permanent MAC, which
 * QEMU saved with the card (`ethtool -P`), stays the parent's until the next boot.
 */
const takeAddress = ({ mac, address, gateway }: Personality['network']): string => `was /sys/class/net/eth0/address
if [ "$was" != ${quote(mac)} ]; then
  ip -batch - <<EOF || failed="$failed address"
address flush dev eth0
link set dev eth0 address ${mac}
link set dev eth0 up
address replace ${address} dev eth0
route replace default via ${gateway} dev eth0
EOF
  if was /run/croft-address; then ss --tcp --kill --no-header src "\${was%/*}" > /dev/null 2>&1; fi
fi
`

/** Quotes any text as one word for sh. */
const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`

/**
 * Returns one SetEnv line, as sshd uses only the first. It reads its words as quoted strings with backslash escapes.
 */
function sshdEnvironment(env: Readonly<Record<string, string>>): string[] {
  const words = Object.entries(env).map(([key, value]) => `"${key}=${value.replace(/["\\]/g, '\\$&')}"`)
  return words.length ? [`SetEnv ${words.join(' ')}`] : []
}

/** Returns the environment as a file that both sh (`. /etc/croft/env`) and systemd (`EnvironmentFile=`) can read. */
function environmentFile(env: Readonly<Record<string, string>>): string {
  return Object.entries(env)
    .map(([key, value]) => `${key}="${value.replace(/["\\$`]/g, '\\$&')}"\n`)
    .join('')
}
