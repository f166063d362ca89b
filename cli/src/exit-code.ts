/** What the process ends with. Scripts may decide on them. */
export const EXIT_CODES = {
  ok: { code: 0, description: 'Done.' },
  failure: { code: 1, description: 'It failed: the console or a server said so, or could not be reached.' },
  usage: { code: 2, description: 'The command line is wrong, or a needed answer cannot be asked for.' },
  notFound: { code: 3, description: 'What the command names does not exist.' },
  denied: { code: 4, description: 'Not logged in, or not allowed.' },
  interrupted: { code: 130, description: 'Interrupted with Ctrl+C.' },
} as const

export type ExitName = keyof typeof EXIT_CODES
