import { keyAddCommand } from './access/key-add.ts'
import { keyLsCommand } from './access/key-ls.ts'
import { keyRenameCommand } from './access/key-rename.ts'
import { keyRmCommand } from './access/key-rm.ts'
import { loginCommand } from './access/login.ts'
import { sessionEndCommand } from './access/session-end.ts'
import { sessionLsCommand } from './access/session-ls.ts'
import { sshConfigCommand } from './access/ssh-config.ts'
import { tokenLsCommand } from './access/token-ls.ts'
import { tokenNewCommand } from './access/token-new.ts'
import { tokenRevokeCommand } from './access/token-revoke.ts'
import { backupAutoCommand } from './backup/backup-auto.ts'
import { backupCheckCommand } from './backup/backup-check.ts'
import { backupLsCommand } from './backup/backup-ls.ts'
import { backupNowCommand } from './backup/backup-now.ts'
import { backupProveCommand } from './backup/backup-prove.ts'
import { backupRestoreCommand } from './backup/backup-restore.ts'
import { backupRmCommand } from './backup/backup-rm.ts'
import { backupToCommand } from './backup/backup-to.ts'
import { activityCommand } from './box/activity.ts'
import { boxDfCommand } from './box/box-df.ts'
import { boxKsmCommand } from './box/box-ksm.ts'
import { completeCommand } from './box/complete.ts'
import { completionCommand } from './box/completion.ts'
import { doctorCommand } from './box/doctor.ts'
import { helpCommand } from './box/help.ts'
import { versionCommand } from './box/version.ts'
import { checkpointCommand } from './checkpoint/checkpoint.ts'
import { checkpointAutoCommand } from './checkpoint/checkpoint-auto.ts'
import { checkpointLsCommand } from './checkpoint/checkpoint-ls.ts'
import { checkpointRmCommand } from './checkpoint/checkpoint-rm.ts'
import { cpCommand } from './checkpoint/cp.ts'
import { restoreCommand } from './checkpoint/restore.ts'
import { imageBuildCommand } from './image/image-build.ts'
import { imageLsCommand } from './image/image-ls.ts'
import { imageRmCommand } from './image/image-rm.ts'
import { execCommand } from './inside/exec.ts'
import { logsCommand } from './inside/logs.ts'
import { portsCommand } from './inside/ports.ts'
import { pullCommand } from './inside/pull.ts'
import { pushCommand } from './inside/push.ts'
import { sshCommand } from './inside/ssh.ts'
import type { Command } from './kit/command.ts'
import { commentCommand } from './vm/comment.ts'
import { lsCommand } from './vm/ls.ts'
import { newCommand } from './vm/new.ts'
import { renameCommand } from './vm/rename.ts'
import { resizeCommand } from './vm/resize.ts'
import { restartCommand } from './vm/restart.ts'
import { rmCommand } from './vm/rm.ts'
import { showCommand } from './vm/show.ts'
import { sleepCommand } from './vm/sleep.ts'
import { startCommand } from './vm/start.ts'
import { statCommand } from './vm/stat.ts'
import { stopCommand } from './vm/stop.ts'
import { tagCommand } from './vm/tag.ts'
import { topCommand } from './vm/top.ts'
import { wakeCommand } from './vm/wake.ts'
import { domainAddCommand } from './web/domain-add.ts'
import { domainCheckCommand } from './web/domain-check.ts'
import { domainLsCommand } from './web/domain-ls.ts'
import { domainRmCommand } from './web/domain-rm.ts'
import { domainSetCommand } from './web/domain-set.ts'
import { shareLinkCommand } from './web/share-link.ts'
import { shareLsCommand } from './web/share-ls.ts'
import { sharePortCommand } from './web/share-port.ts'
import { sharePrivateCommand } from './web/share-private.ts'
import { sharePublicCommand } from './web/share-public.ts'
import { shareRevokeCommand } from './web/share-revoke.ts'

/**
 * The commands that people type, in the order in which help lists them. A new command is a new file and a line here.
 */
const groups: readonly { title: string; commands: readonly Command[] }[] = [
  {
    title: 'VMs',
    commands: [
      newCommand,
      lsCommand,
      showCommand,
      statCommand,
      topCommand,
      startCommand,
      stopCommand,
      restartCommand,
      sleepCommand,
      wakeCommand,
      renameCommand,
      resizeCommand,
      tagCommand,
      commentCommand,
      rmCommand,
    ],
  },
  {
    title: 'Inside a VM',
    commands: [sshCommand, execCommand, pushCommand, pullCommand, logsCommand, portsCommand],
  },
  {
    title: 'Copies and checkpoints',
    commands: [
      cpCommand,
      checkpointCommand,
      checkpointLsCommand,
      checkpointAutoCommand,
      checkpointRmCommand,
      restoreCommand,
    ],
  },
  {
    title: 'Backups',
    commands: [
      backupToCommand,
      backupNowCommand,
      backupAutoCommand,
      backupLsCommand,
      backupRestoreCommand,
      backupProveCommand,
      backupCheckCommand,
      backupRmCommand,
    ],
  },
  {
    title: 'Sharing on the web',
    commands: [
      sharePublicCommand,
      sharePrivateCommand,
      sharePortCommand,
      shareLinkCommand,
      shareLsCommand,
      shareRevokeCommand,
      domainSetCommand,
      domainCheckCommand,
      domainAddCommand,
      domainLsCommand,
      domainRmCommand,
    ],
  },
  {
    title: 'People, keys and tokens',
    commands: [
      loginCommand,
      sessionLsCommand,
      sessionEndCommand,
      keyAddCommand,
      keyLsCommand,
      keyRenameCommand,
      keyRmCommand,
      sshConfigCommand,
      tokenNewCommand,
      tokenLsCommand,
      tokenRevokeCommand,
    ],
  },
  {
    title: 'Images',
    commands: [imageBuildCommand, imageLsCommand, imageRmCommand],
  },
  {
    title: 'The box',
    commands: [
      doctorCommand,
      activityCommand,
      boxDfCommand,
      boxKsmCommand,
      versionCommand,
      completionCommand,
      helpCommand,
    ],
  },
]

/** Every command. */
export const commands: readonly Command[] = [
  ...groups.flatMap(({ title, commands }) => commands.map((command) => ({ ...command, group: title }))),
  completeCommand,
]
