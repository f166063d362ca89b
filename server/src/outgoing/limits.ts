/*
 * The bounds of outgoing calls, in one place.
 */

/** DNS look-up and TCP and TLS handshake together. */
export const CONNECT_TIMEOUT_MS = 10_000
/** One DNS question, and how often it is asked of each server. */
export const DNS_TIMEOUT_MS = 2_500
export const DNS_TRIES = 2
/** A body that is being read brings no byte for this long. */
export const BODY_IDLE_TIMEOUT_MS = 30_000

/** For callers that name no limit of their own. */
export const DEFAULT_MAX_BODY_BYTES = 1024 * 1024
export const MAX_RESPONSE_HEADER_BYTES = 32 * 1024
export const MAX_RESPONSE_HEADERS = 100
export const MAX_URL_LENGTH = 8 * 1024

/** Exchanges of the whole process, from the look-up to the end of the body. */
export const MAX_EXCHANGES = 256
/** Exchanges with one host and port, and exchanges of one account: neither may take all places. */
export const MAX_EXCHANGES_PER_HOST = 64
export const MAX_EXCHANGES_PER_ACCOUNT = 64
export const MAX_WAITING_EXCHANGES = 1_000

export const MAX_ADDRESSES_PER_NAME = 16
export const MAX_REDIRECTS = 4
/** Text of the other side that is quoted in a message. */
export const MAX_QUOTED_LENGTH = 120
export const MAX_ALLOW_ENTRIES = 200
/** Of several addresses of one name, the next is tried when one has not accepted a connection for this long. */
export const NEXT_ADDRESS_AFTER_MS = 2_500
export const MAX_INFORMATIONAL_ANSWERS = 8
