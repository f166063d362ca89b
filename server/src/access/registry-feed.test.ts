import { openSqliteStack } from '../../../test/support/access/stack.ts'
import { describeRegistryFeed } from './registry-feed-contract.ts'

describeRegistryFeed('SQLite', openSqliteStack)
