import { type Define, leaf } from '../command.ts'
import { show } from '../output.ts'
import type { GlobalOptions } from '../session.ts'
import { readVersion } from '../version.ts'

/** `version` */
export const defineVersion: Define = (parent, io) => {
  leaf(parent, 'version', 'show the version of this command').action((_options: unknown, command) => {
    const options = command.optsWithGlobals() as GlobalOptions
    const version = { version: readVersion(), node: process.version }
    show({ io, options }, version, (found) => [`berth ${found.version} (Node.js ${found.node})`])
  })
}
