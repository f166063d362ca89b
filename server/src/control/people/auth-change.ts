import { AsyncLocalStorage } from 'node:async_hooks'
import type { SignInMethod } from '../../metastore/people-tables.ts'

/**
 * What the sign-in library's adapter must know about the request that it works for, and the library does not pass on: who
 * asks and from where, for the audit log and the list of sessions.
 */
export interface AuthChange {
  readonly requestId: string
  readonly nowMs: number
  /** By the trusted proxies, not by a header that anybody can send. */
  readonly address: string
  readonly userAgent: string | null
  /** How a session that comes out of this was made. */
  readonly method: SignInMethod
  /** When the person proved who they are; null: not known, or not lately. */
  readonly confirmedAt: number | null
  /** The person that acts, where one is signed in already. */
  readonly userId: string | null
}

const storage = new AsyncLocalStorage<{ change: AuthChange }>()

/** Runs a call of the library on behalf of a request. */
export function asAuthChange<Result>(change: AuthChange, call: () => Promise<Result>): Promise<Result> {
  return storage.run({ change }, call)
}

/** The request on whose behalf the library writes. Throws outside of `asAuthChange`: a write must not go unaudited. */
export function currentAuthChange(): AuthChange {
  const change = storage.getStore()?.change
  if (change === undefined) throw new Error("the sign-in library writes on nobody's behalf")
  return change
}

/**
 * Says when the person proved who they are, once an issuer has told it in the middle of a call. An issuer whose clock is
 * ahead makes no confirmation last longer.
 */
export function setConfirmedAt(confirmedAt: number): void {
  const store = storage.getStore()
  if (store === undefined) return
  store.change = { ...store.change, confirmedAt: Math.min(confirmedAt, store.change.nowMs) }
}
