import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'
import pg from 'pg'
import { RELISTEN_PAUSE_MS } from './limits.ts'

/** The server's name for a channel: at most 63 bytes, and different for each schema of a database. */
export function serverChannel(schema: string, channel: string): string {
  return `berth_${createHash('sha256').update(`${schema}/${channel}`).digest('hex').slice(0, 40)}`
}

/**
 * Listens on a connection of its own, opened with the first subscription and opened again whenever it is lost. After
 * each reconnect every listener is called, because notifications of the time between were lost.
 */
export class Notifications {
  readonly #config: pg.ClientConfig
  readonly #listeners = new EventEmitter()
  #client: pg.Client | null = null
  #connecting = false
  #timer: NodeJS.Timeout | null = null
  #closed = false

  constructor(config: pg.ClientConfig) {
    this.#config = config
    this.#listeners.setMaxListeners(0)
  }

  /** Calls `listener` after each notification on this server channel. Returns what ends that. */
  subscribe(channel: string, listener: () => void): () => void {
    const onEvent = () => setImmediate(listener)
    const isNew = this.#listeners.listenerCount(channel) === 0
    this.#listeners.on(channel, onEvent)
    if (this.#client === null) this.#connect()
    else if (isNew) this.#listen(this.#client, channel)
    return () => this.#listeners.off(channel, onEvent)
  }

  async close(): Promise<void> {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#listeners.removeAllListeners()
    await this.#client?.end().catch(() => undefined)
  }

  #connect(): void {
    if (this.#closed || this.#connecting) return
    this.#connecting = true
    const client = new pg.Client(this.#config)
    const lost = () => {
      if (this.#client === client) this.#client = null
      this.#reconnectLater()
    }
    client.on('error', () => undefined)
    client.on('notification', ({ channel }) => this.#listeners.emit(channel))
    client.connect().then(
      () => {
        this.#connecting = false
        if (this.#closed) {
          client.end().catch(() => undefined)
          return
        }
        client.on('end', lost)
        this.#client = client
        for (const channel of this.#listeners.eventNames()) this.#listen(client, String(channel))
      },
      () => {
        this.#connecting = false
        lost()
      },
    )
  }

  #reconnectLater(): void {
    if (this.#closed || this.#timer !== null) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#connect()
    }, RELISTEN_PAUSE_MS)
  }

  /** Starts to listen, and then tells the listeners once: what was notified before is not told by the server. */
  #listen(client: pg.Client, channel: string): void {
    client.query(`listen ${pg.escapeIdentifier(channel)}`).then(
      () => this.#listeners.emit(channel),
      // A connection that cannot listen is closed, which opens another one.
      () => client.end().catch(() => undefined),
    )
  }
}
