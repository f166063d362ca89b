import type { IncomingMessage } from 'node:http'

/** A region that a listener can serve. */
export interface RoutedRegion {
  readonly id: string
  /** host[:port] that clients use. */
  readonly host: string
}

/**
 * Which region of a shared listener a request is for: the one whose host the request names, else the first one. An
 * unknown Host chooses nothing and appears in no answer.
 */
export function chooseRegion<Region extends RoutedRegion>(
  regions: readonly Region[],
  request: Pick<IncomingMessage, 'headers'>,
): Region | undefined {
  if (regions.length === 1) return regions[0]
  const host = request.headers.host?.toLowerCase()
  return regions.find((region) => region.host === host) ?? regions[0]
}
