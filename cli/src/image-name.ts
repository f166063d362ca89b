import { CliError } from './cli-error.ts'

/** What a person calls a tag or manifest: `web/api:1.2` or `web/api@sha256:…`. */
export interface ImageName {
  readonly repository: string
  readonly reference: string
}

/** Reads `repository:tag` or `repository@digest`. Raises a usage error. */
export function parseImageName(text: string): ImageName {
  const at = text.indexOf('@')
  const split = at === -1 ? text.lastIndexOf(':') : at
  if (split > 0 && split < text.length - 1) {
    return { repository: text.slice(0, split), reference: text.slice(split + 1) }
  }
  throw new CliError('usage', `"${text}" must be <repository>:<tag> or <repository>@<digest>.`)
}

/** Reads `repository:tag`. Raises a usage error for a digest. */
export function parseTagName(text: string): { repository: string; tag: string } {
  const { repository, reference } = parseImageName(text)
  if (!text.includes('@')) return { repository, tag: reference }
  throw new CliError('usage', `"${text}" must be <repository>:<tag>.`)
}

/** Reads `repository@digest`. Raises a usage error for a tag. */
export function parseDigestName(text: string): ImageName {
  if (text.includes('@')) return parseImageName(text)
  throw new CliError(
    'usage',
    `"${text}" must be <repository>@<digest>.`,
    'See the digest of a tag: berth tags show <repository>:<tag>',
  )
}
