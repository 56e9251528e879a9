import type { Box } from '../../core/box.ts'

/**
 * Returns how the caller begins a Croft command: `croft` on the box and at the lobby's prompt, otherwise the `ssh`
 * command that runs it.
 * @param reached the address of the box that the caller's SSH client connected to, if the caller uses SSH
 */
export function croftFrom({ ssh }: Pick<Box, 'ssh'>, reached: string | undefined): string {
  return reached === undefined || !ssh ? 'croft' : `ssh -p ${ssh.port} croft@${ssh.host(reached)}`
}

/**
 * Rewrites the commands in a message to the form that the caller types. Only the first line changes: the others may be
 * output of a guest. Pure.
 */
export function asTyped(text: string, croft: string): string {
  const [first = '', ...rest] = text.split('\n')
  return [first.replace(/(?<![\w/@.-])croft (?=[a-z])/g, `${croft} `), ...rest].join('\n')
}
