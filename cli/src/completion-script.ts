import type { Command } from 'commander'

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

/** What can follow a command: its sub-commands and its options. */
interface Node {
  /** `''` for the program, `projects`, `projects list`. */
  readonly path: string
  readonly words: readonly { readonly word: string; readonly description: string }[]
}

/** A script that completes command names and options. It is made from the definitions: it needs no call of berth. */
export function completionScript(shell: Shell, program: Command): string {
  const nodes = nodesOf(program, '', globalOptions(program))
  switch (shell) {
    case 'bash':
      return bashScript(nodes)
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bashScript(nodes)}`
    case 'fish':
      return fishScript(nodes)
  }
}

function globalOptions(program: Command): Node['words'] {
  return optionsOf(program)
}

function optionsOf(command: Command): Node['words'] {
  return command.options.flatMap(({ long, description }) =>
    typeof long === 'string' ? [{ word: long, description }] : [],
  )
}

function nodesOf(command: Command, path: string, global: Node['words']): Node[] {
  const children = command.commands.map((child) => ({ word: child.name(), description: child.description() }))
  const own = path === '' ? [] : optionsOf(command)
  const words = [...children, ...own, ...global, { word: '--help', description: 'show help' }]
  return [
    { path, words },
    ...command.commands.flatMap((child) => nodesOf(child, `${path} ${child.name()}`.trim(), global)),
  ]
}

function bashScript(nodes: readonly Node[]): string {
  const cases = nodes.map(
    ({ path, words }) => `    '${path}') words='${words.map(({ word }) => word).join(' ')}' ;;`,
  )
  return `# berth completion
_berth() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' word words='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "$path/$word" in
${nodes
  .filter(({ path }) => path !== '')
  .map(({ path }) => {
    const space = path.lastIndexOf(' ')
    return `      '${path.slice(0, Math.max(0, space))}/${path.slice(space + 1)}') path='${path}' ;;`
  })
  .join('\n')}
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _berth berth
`
}

function fishScript(nodes: readonly Node[]): string {
  const lines = nodes.flatMap(({ path, words }) => words.map((entry) => fishLine(path, entry)))
  return `# berth completion
function __berth_at
  set -l words (commandline -opc | string match -v -- '-*')
  test "$words[2..-1]" = "$argv[1]"
end
complete -c berth -f
${lines.join('\n')}
`
}

function fishLine(path: string, { word, description }: Node['words'][number]): string {
  const text = description.replaceAll("'", "\\'")
  const what = word.startsWith('--') ? `-l ${word.slice(2)}` : `-a ${word}`
  return `complete -c berth -n "__berth_at '${path}'" ${what} -d '${text}'`
}
