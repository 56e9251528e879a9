import { z } from 'zod'
import { command } from '../kit/command.ts'

/** Each script calls `croft complete -- <words so far>`, so it knows what the daemon knows, VM names included. */
const scripts = {
  bash: `_croft() {
  local IFS=$'\\n'
  COMPREPLY=($(croft complete -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
complete -F _croft croft
`,
  zsh: `#compdef croft
_croft() {
  local -a found
  found=("\${(@f)$(croft complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
if [[ "$funcstack[1]" = _croft ]]; then _croft "$@"; else compdef _croft croft; fi
`,
  fish: `function __croft_complete
  croft complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null
end
complete -c croft -a '(__croft_complete)'
`,
} as const

export const completionCommand = command({
  name: 'completion',
  summary: 'Print a completion script for your shell',
  examples: ['croft completion bash > /etc/bash_completion.d/croft'],
  args: z.object({
    shell: z.enum(['bash', 'zsh', 'fish']).describe('bash, zsh or fish').meta({ placeholder: 'shell' }),
  }),
  positional: ['shell'],
  result: z.object({ script: z.string() }),
  touches: 'nothing',
  run: async (_, { shell }) => ({ script: scripts[shell] }),
  print: ({ script }) => script,
})
