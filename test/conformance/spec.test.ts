/** What the distribution spec and real clients ask for and the official suite does not, by area. */
import { defineBlobReadCases } from './blob-cases.ts'
import { defineManifestCases } from './manifest-cases.ts'
import { startRegistry } from './registry.ts'
import { defineUploadCases } from './upload-cases.ts'

const registry = await startRegistry()
defineUploadCases(registry, await registry.openProject('spec-uploads'))
defineBlobReadCases(await registry.openProject('spec-blobs'))
defineManifestCases(await registry.openProject('spec-manifests'))
