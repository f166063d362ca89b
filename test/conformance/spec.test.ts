/** What the distribution spec and real clients ask for and the official suite does not, by area. */
import { defineAnswerCases } from './answer-cases.ts'
import { defineBlobReadCases } from './blob-cases.ts'
import { defineListCases } from './list-cases.ts'
import { defineManifestCases } from './manifest-cases.ts'
import { defineReferrerCases } from './referrer-cases.ts'
import { startRegistry } from './registry.ts'
import { defineUploadCases } from './upload-cases.ts'
import { defineWireCases } from './wire-cases.ts'

/** Small, so that a case can reach it; more than the other cases leave open with one key. */
const uploadsPerKey = 50

const registry = await startRegistry({ BERTH_MAX_UPLOADS_PER_KEY: String(uploadsPerKey) })
defineUploadCases(registry, await registry.openProject('spec-uploads'))
defineBlobReadCases(await registry.openProject('spec-blobs'))
defineManifestCases(await registry.openProject('spec-manifests'))
defineListCases(registry, await registry.openProject('spec-lists'))
defineReferrerCases(await registry.openProject('spec-referrers'))
defineAnswerCases(registry, await registry.openProject('spec-answers'), uploadsPerKey)
defineWireCases(registry, await registry.openProject('spec-wire'))
