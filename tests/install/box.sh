# shellcheck shell=bash disable=SC2154
# A fresh Debian as a box: a minimal system with real systemd in systemd-nspawn, with a network of its own.
# Sourced by run. Everything it makes on this machine is called crofti-<suite>, and `box_remove` takes it away, also
# what a killed run left.
#
# Uses: suite, subnet (third byte of 10.99.x), work (folder of this run), cache, tests (this folder), node.

box_name() { printf 'crofti-%s' "$suite"; }

# The packages of a freshly rented box, and what the person who rents it comes with: sudo, curl, an SSH client.
readonly base_packages=systemd,systemd-sysv,dbus,ca-certificates,curl,sudo,iproute2,openssh-client,netbase,procps,e2fsprogs

# One per suite and list of packages.
box_base_file() { printf '%s/%s-%s.tar' "$cache" "$suite" "$(cksum <<<"$base_packages" | cut -d ' ' -f 1)"; }

# Makes the base system once; each run gets a copy.
box_base() {
  local tar
  tar=$(box_base_file)
  if [[ ! -f $tar ]]; then
    mkdir -p "$cache"
    mmdebstrap --quiet --mode=root --format=tar --variant=minbase --include="$base_packages" "$suite" "$tar.new" || return
    mv "$tar.new" "$tar"
  fi
}

box_unpack() {
  local root=$work/root
  mkdir -p "$root"
  tar --extract --file="$(box_base_file)" --directory="$root"
  # A resolver on this machine's own loopback is out of reach in there.
  if grep -q '^nameserver 127\.' /etc/resolv.conf && [[ -f /run/systemd/resolve/resolv.conf ]]; then
    cp /run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
  else
    cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
  fi
  echo box >"$root/etc/hostname"
  printf '127.0.0.1 localhost\n127.0.1.1 box\n' >"$root/etc/hosts"
  box_writable_network "$root"
  box_own_boot_id "$root"
  # The owner: an ordinary user who may use sudo and has an SSH key.
  chroot "$root" useradd --create-home --shell /bin/bash ada
  echo 'ada ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/ada"
  chroot "$root" su ada -c 'ssh-keygen -q -t ed25519 -N "" -f ~/.ssh/id_ed25519 -C ada@laptop'
  # There is no KVM here to speak of, and cgroups may be read-only: libvirt does without them. A real box needs none of this.
  cgroups_writable || box_without_cgroups "$root"
}

# systemd-nspawn lays a boot id of the box's own over that of this machine. For these two settings Debian 12's systemd
# mounts /proc anew, and then the daemon sees this machine's, the same after each restart of the box.
box_own_boot_id() {
  [[ $suite == bookworm ]] || return 0
  mkdir -p "$1/etc/systemd/system/croft.service.d"
  printf '[Service]\nProtectKernelTunables=no\nProtectControlGroups=no\n' >"$1/etc/systemd/system/croft.service.d/boot-id.conf"
}

# libvirt turns forwarding on and sets up bridge ports, as on a real box. The rest of /sys stays read-only: it is this machine's.
box_writable_network() {
  cat >"$1/etc/systemd/system/writable-network.service" <<'UNIT'
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=mount -o remount,rw /proc/sys
ExecStart=mount -o remount,rw /sys
ExecStart=mount --bind /sys/devices/virtual/net /sys/devices/virtual/net
ExecStart=mount -o remount,bind,ro /sys
UNIT
  mkdir -p "$1/etc/systemd/system/sysinit.target.wants"
  ln -s ../writable-network.service "$1/etc/systemd/system/sysinit.target.wants/"
}

cgroups_writable() { [[ $(stat -f -c %T /sys/fs/cgroup) == cgroup2fs ]]; }

# When libvirt's configuration appears, this changes one line of it, before the daemon is started by its package.
box_without_cgroups() {
  mkdir -p "$1/etc/apt/apt.conf.d"
  cat >"$1/usr/local/sbin/no-cgroups" <<'SH'
#!/bin/sh
if [ -f /etc/libvirt/qemu.conf ] && ! grep -q '^cgroup_controllers' /etc/libvirt/qemu.conf; then
  echo 'cgroup_controllers = []' >>/etc/libvirt/qemu.conf
  systemctl try-restart libvirtd.service
fi
SH
  chmod 755 "$1/usr/local/sbin/no-cgroups"
  echo 'DPkg::Post-Invoke { "/usr/local/sbin/no-cgroups"; };' >"$1/etc/apt/apt.conf.d/99no-cgroups"
}

# A network namespace with one cable to this machine, which forwards for it.
box_network_up() {
  local name
  name=$(box_name)
  ip netns add "$name"
  ip link add "ci$subnet" type veth peer name host0 netns "$name"
  ip address add "10.99.$subnet.1/24" dev "ci$subnet"
  ip link set "ci$subnet" up
  ip -n "$name" link set lo up
  ip -n "$name" address add "10.99.$subnet.2/24" dev host0
  ip -n "$name" link set host0 up
  ip -n "$name" route add default via "10.99.$subnet.1"
  # Left on afterwards: something else here may have come to need it meanwhile.
  [[ $(cat /proc/sys/net/ipv4/ip_forward) == 1 ]] || echo 1 >/proc/sys/net/ipv4/ip_forward
  nft -f - <<NFT
table ip $name {
  chain forward { type filter hook forward priority -5; policy accept; }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 10.99.$subnet.0/24 oifname != "ci$subnet" masquerade
  }
}
NFT
}

box_boot() {
  local name waited state
  name=$(box_name)
  # A unit's worth of output goes to the console file, which is shown when the boot fails.
  # It is started inside its network, so that its /sys shows that network's devices.
  setsid nsenter --net="/run/netns/$name" systemd-nspawn --quiet --boot --directory="$work/root" --machine="$name" \
    --register=no --keep-unit --capability=all --bind=/dev/net/tun --resolv-conf=off --timezone=off \
    --console=read-only >>"$work/console" 2>&1 </dev/null &
  nspawn=$!
  echo "$nspawn" >"$work/nspawn.pid"
  leader=
  for ((waited = 0; waited < 600; waited++)); do
    leader=$(pgrep --parent "$nspawn" 2>/dev/null | head -n 1) || true
    if [[ $leader ]]; then
      state=$(box systemctl is-system-running 2>/dev/null) || true
      case $state in running | degraded) break ;; esac
    fi
    kill -0 "$nspawn" 2>/dev/null || break
    sleep 0.1
  done
  case ${state:-} in
    running | degraded) ;;
    *)
      tail -n 20 "$work/console"
      return 1
      ;;
  esac
}

# box COMMAND…: runs it in the box, as root.
box() {
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup --root --wd \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

# box_as_ada LINE: runs a line of shell in a fresh login of ada.
box_as_ada() { box runuser --login ada --command "$1"; }

# The release in $work/release at http://127.0.0.1:8099 of the box.
box_serve() {
  local name
  name=$(box_name)
  setsid nsenter --net="/run/netns/$name" "$node" "$tests/serve.ts" "$work/release" 8099 >>"$work/server.log" 2>&1 </dev/null &
  echo $! >"$work/server.pid"
  disown
}

# Shuts the box down as a person would, and starts it again; the network devices made in it are gone, as after any restart.
box_reboot() {
  box systemctl --no-block reboot
  wait "$nspawn" || true
  box_network_down
  box_network_up
  box_serve
  box_boot
}

box_network_down() {
  local name
  name=$(box_name)
  box_end "$work/server.pid"
  nft delete table ip "$name" 2>/dev/null || true
  ip link delete "ci$subnet" 2>/dev/null || true
  ip netns delete "$name" 2>/dev/null || true
}

# box_end FILE: ends the process of which FILE has the id, if that is still what it was, and its children.
box_end() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  rm -f "$1"
  [[ $(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline") == *"$work"* ]] || return 0
  # The first process of a box takes all others in it with it.
  pkill -KILL --parent "$pid" 2>/dev/null || true
  kill -KILL "$pid" 2>/dev/null || true
  for _ in {1..50}; do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
}

# Ends and removes everything of this suite, whoever made it.
box_remove() {
  local mount
  box_end "$work/nspawn.pid" 2>/dev/null # bash says of a box that it was killed
  box_network_down
  while read -r mount; do umount "$mount" 2>/dev/null || true; done \
    < <(awk -v root="$work/" 'index($2, root) == 1 { print $2 }' /proc/mounts | sort -r)
  rm -rf --one-file-system "$work"
}
