import { writeFileSync } from 'node:fs'
import { renderConfigurationReference } from './src/config/reference.ts'

writeFileSync(new URL('../docs/reference/configuration.md', import.meta.url), renderConfigurationReference())
