import type { FastifyRequest } from 'fastify'
import { addressOf } from '../authenticate.ts'
import type { ControlRuntime } from '../runtime.ts'
import { shortUserAgent } from './auth-rows.ts'

/** What is known of whoever sends a request, besides what they say about themselves. */
export interface RequestFacts {
  readonly requestId: string
  readonly nowMs: number
  /** By the trusted proxies. */
  readonly address: string
  readonly userAgent: string | null
}

/** Reads them from a request. */
export function requestFacts(runtime: ControlRuntime, request: FastifyRequest): RequestFacts {
  return {
    requestId: request.id,
    nowMs: runtime.clock.nowMs(),
    address: addressOf(runtime, request),
    userAgent: shortUserAgent(request.headers['user-agent'] ?? null),
  }
}
