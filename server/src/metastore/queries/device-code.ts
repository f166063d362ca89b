import type { Kysely } from 'kysely'
import type { ControlSchema } from '../control-schema.ts'
import type { DeviceCodeRow } from '../people-tables.ts'

/** What a device asks for, by the HMAC of the code that the person types. Null: no such code, or it has expired. */
export async function loadDeviceRequest(
  reader: Kysely<ControlSchema>,
  userCodeHmac: string,
  nowMs: number,
): Promise<DeviceCodeRow | null> {
  const row = await reader
    .selectFrom('device_code')
    .selectAll()
    .where('user_code', '=', userCodeHmac)
    .where('expires_at', '>', nowMs)
    .executeTakeFirst()
  return row ?? null
}

/** The same by the HMAC of the code that the device polls with, expired or not. */
export async function loadPolledDevice(
  reader: Kysely<ControlSchema>,
  deviceCodeHmac: string,
): Promise<DeviceCodeRow | null> {
  const row = await reader
    .selectFrom('device_code')
    .selectAll()
    .where('device_code', '=', deviceCodeHmac)
    .executeTakeFirst()
  return row ?? null
}
