import type { ImageConfig } from '@berth/api/manifests'
import { z } from 'zod'

// Clients wrote this document; a field of another type counts as absent, so that one odd field hides no other.
const text = z.string().nullish().catch(null)
const texts = z.array(z.string()).nullish().catch(null)
const map = z.record(z.string(), z.string()).nullish().catch(null)

// Image spec, config.md.
const document = z.object({
  created: text,
  author: text,
  os: text,
  architecture: text,
  variant: text,
  'os.version': text,
  config: z
    .object({
      User: text,
      WorkingDir: text,
      Entrypoint: texts,
      Cmd: texts,
      Env: texts,
      ExposedPorts: z.record(z.string(), z.unknown()).nullish().catch(null),
      Labels: map,
    })
    .nullish()
    .catch(null),
})

/** Reads an image's configuration for people to look at; null when it is not one (an artifact's config). */
export function parseImageConfig(content: Uint8Array): ImageConfig | null {
  const parsed = document.safeParse(parseJson(content))
  if (!parsed.success) return null
  const { created, author, os, architecture, variant, config } = parsed.data
  if (typeof os !== 'string') return null
  return {
    platform: {
      os,
      architecture: architecture ?? null,
      variant: variant ?? null,
      osVersion: parsed.data['os.version'] ?? null,
    },
    createdAt: created ?? null,
    author: author ?? null,
    user: config?.User ?? null,
    workingDir: config?.WorkingDir ?? null,
    entrypoint: config?.Entrypoint ?? null,
    command: config?.Cmd ?? null,
    env: config?.Env ?? null,
    exposedPorts: portsOf(config?.ExposedPorts ?? null),
    labels: config?.Labels ?? null,
  }
}

function portsOf(ports: Record<string, unknown> | null): string[] | null {
  return ports === null ? null : Object.keys(ports)
}

function parseJson(content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString('utf8'))
  } catch {
    return null
  }
}
