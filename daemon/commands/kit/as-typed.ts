import type { Box } from '../../core/box.ts'

/**
 * How a command of Croft begins where the caller is: `croft` on the box and at the lobby's prompt, else the line that
 * brings one by SSH.
 * @param reached the address of the box that the caller's SSH client connected to, if it came so
 */
export function croftFrom({ ssh }: Pick<Box, 'ssh'>, reached: string | undefined): string {
  return reached === undefined || !ssh ? 'croft' : `ssh -p ${ssh.port} croft@${ssh.host(reached)}`
}

/** A text of ours with its commands as the caller types them. What follows its first line may be a guest's, and stays. Pure. */
export function asTyped(text: string, croft: string): string {
  const [first = '', ...rest] = text.split('\n')
  return [first.replace(/(?<![\w/@.-])croft (?=[a-z])/g, `${croft} `), ...rest].join('\n')
}
