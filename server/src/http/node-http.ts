import type * as NodeHttp from 'node:http'
import type * as NodeHttps from 'node:https'

/*
 * Node's HTTP modules, not by `import`: that reads every export, and reading some of node:http's loads Node's whole web
 * client, which the server does not use: 9 MiB and 50 ms of every start.
 */

export const http: typeof NodeHttp = process.getBuiltinModule('node:http')
export const https: typeof NodeHttps = process.getBuiltinModule('node:https')
