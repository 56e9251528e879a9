/**
 * What Debian and Ubuntu ship to tidy up. It runs whenever the VM happens to be awake, and wakes nobody: a box where
 * every VM woke at midnight to rotate its logs would not sleep. What people set up themselves, such as `certbot.timer`,
 * is not listed here.
 */
const chores = [
  'anacron',
  'apt-compat',
  'apt-daily',
  'apt-daily-upgrade',
  'apt-show-versions',
  'aptitude',
  'bsdmainutils',
  'dpkg',
  'dpkg-db-backup',
  'e2scrub_all',
  'exim4-base',
  'fstrim',
  'fwupd-refresh',
  'logrotate',
  'man-db',
  'mdadm',
  'mdcheck_continue',
  'mdcheck_start',
  'mdmonitor-oneshot',
  'mlocate',
  'motd-news',
  'ntpsec',
  'ntpsec-rotate-stats',
  'passwd',
  'php',
  'phpsessionclean',
  'plocate',
  'plocate-updatedb',
  'popularity-contest',
  'sysstat',
  'sysstat-collect',
  'sysstat-rotate',
  'sysstat-summary',
  'systemd-tmpfiles-clean',
  'ua-timer',
  'update-notifier-download',
  'update-notifier-motd',
  'xfs_scrub_all',
]
const known = new Set(chores)

/** Whether a timer or a file of cron's folders only tidies up. Pure. @param name with or without `.timer` */
export const isChore = (name: string): boolean => known.has(name.replace(/\.timer$/, '').replace(/^0/, ''))
