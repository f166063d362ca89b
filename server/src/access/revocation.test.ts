import { describeRevocation } from './revocation-contract.ts'
import { openSqliteStack } from '../../../test/support/access/stack.ts'

describeRevocation('SQLite', openSqliteStack)
