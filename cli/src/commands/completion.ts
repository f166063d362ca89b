import { CliError } from '../cli-error.ts'
import { type Define, leaf } from '../command.ts'
import { completionScript, SHELLS } from '../completion-script.ts'
import { print } from '../io.ts'

/** `completion <shell>` */
export const defineCompletion: Define = (parent, io) => {
  leaf(parent, 'completion <shell>', 'print a completion script for bash, zsh or fish')
    .addHelpText('after', HELP)
    .action((shell: string) => {
      const known = SHELLS.find((name) => name === shell)
      if (known === undefined) throw new CliError('usage', `"${shell}" is not one of ${SHELLS.join(', ')}.`)
      print(io, completionScript(known, parent))
    })
}

const HELP = `
Load it in the shell's start file:
  bash:  source <(berth completion bash)
  zsh:   source <(berth completion zsh)
  fish:  berth completion fish | source
`
