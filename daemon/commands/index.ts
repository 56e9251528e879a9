import { activityCommand } from './activity.ts'
import { boxDfCommand } from './box-df.ts'
import { boxKsmCommand } from './box-ksm.ts'
import { checkpointCommand } from './checkpoint.ts'
import { checkpointAutoCommand } from './checkpoint-auto.ts'
import { checkpointLsCommand } from './checkpoint-ls.ts'
import { checkpointRmCommand } from './checkpoint-rm.ts'
import type { Command } from './command.ts'
import { commentCommand } from './comment.ts'
import { completeCommand } from './complete.ts'
import { completionCommand } from './completion.ts'
import { cpCommand } from './cp.ts'
import { doctorCommand } from './doctor.ts'
import { domainAddCommand } from './domain-add.ts'
import { domainCheckCommand } from './domain-check.ts'
import { domainLsCommand } from './domain-ls.ts'
import { domainRmCommand } from './domain-rm.ts'
import { domainSetCommand } from './domain-set.ts'
import { execCommand } from './exec.ts'
import { helpCommand } from './help.ts'
import { imageBuildCommand } from './image-build.ts'
import { imageLsCommand } from './image-ls.ts'
import { imageRmCommand } from './image-rm.ts'
import { keyAddCommand } from './key-add.ts'
import { keyLsCommand } from './key-ls.ts'
import { keyRenameCommand } from './key-rename.ts'
import { keyRmCommand } from './key-rm.ts'
import { loginCommand } from './login.ts'
import { logsCommand } from './logs.ts'
import { lsCommand } from './ls.ts'
import { newCommand } from './new.ts'
import { portsCommand } from './ports.ts'
import { pullCommand } from './pull.ts'
import { pushCommand } from './push.ts'
import { renameCommand } from './rename.ts'
import { resizeCommand } from './resize.ts'
import { restartCommand } from './restart.ts'
import { restoreCommand } from './restore.ts'
import { rmCommand } from './rm.ts'
import { sessionEndCommand } from './session-end.ts'
import { sessionLsCommand } from './session-ls.ts'
import { shareLinkCommand } from './share-link.ts'
import { shareLsCommand } from './share-ls.ts'
import { sharePortCommand } from './share-port.ts'
import { sharePrivateCommand } from './share-private.ts'
import { sharePublicCommand } from './share-public.ts'
import { shareRevokeCommand } from './share-revoke.ts'
import { showCommand } from './show.ts'
import { sleepCommand } from './sleep.ts'
import { sshCommand } from './ssh.ts'
import { sshConfigCommand } from './ssh-config.ts'
import { startCommand } from './start.ts'
import { statCommand } from './stat.ts'
import { stopCommand } from './stop.ts'
import { tagCommand } from './tag.ts'
import { tokenLsCommand } from './token-ls.ts'
import { tokenNewCommand } from './token-new.ts'
import { tokenRevokeCommand } from './token-revoke.ts'
import { topCommand } from './top.ts'
import { versionCommand } from './version.ts'
import { wakeCommand } from './wake.ts'

/** The commands that people type, as help lists them. A new capability is a new file here and a new line. */
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

/** Every command there is. */
export const commands: readonly Command[] = [
  ...groups.flatMap(({ title, commands }) => commands.map((command) => ({ ...command, group: title }))),
  completeCommand,
]
