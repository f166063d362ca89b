import { describeApiKeys } from './api-keys/api-keys-contract.ts'
import { describeContent } from './content-contract.ts'
import { describeProjects } from './projects/projects-contract.ts'
import { openTestConsole } from '../../../test/support/console/stack.ts'

describeProjects('SQLite', openTestConsole)
describeApiKeys('SQLite', openTestConsole)
describeContent('SQLite', openTestConsole)
