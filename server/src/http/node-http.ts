/*
 * Node's HTTP modules, not by `import`: that reads every export, and reading some of node:http's loads Node's whole web
 * client, which the server does not use: 9 MiB and 50 ms of every start.
 */

export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
export const https: typeof import('node:https') = process.getBuiltinModule('node:https')
