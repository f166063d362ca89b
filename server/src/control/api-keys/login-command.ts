import type { z } from 'zod'
import type { loginCommand } from '@berth/api/api-keys'

/** The user name of every API key. */
export const API_KEY_USERNAME = 'api'

/**
 * The shell line that logs docker in to each host; `id` is null for the one without a region. It asks for the key: an
 * argument would be readable by every process of the machine.
 */
export function loginCommands(
  places: readonly { readonly id: string | null; readonly host: string }[],
): z.output<typeof loginCommand>[] {
  return places.map(({ id, host }) => ({
    region: id,
    host,
    username: API_KEY_USERNAME,
    command: dockerLogin(host),
  }))
}

/** `docker login`, which asks for the key. Scripts add `--password-stdin`. */
export function dockerLogin(host: string): string {
  return `docker login ${host} -u ${API_KEY_USERNAME}`
}
