import { describeRevocation } from './testing/revocation-suite.ts'
import { openSqliteStack } from './testing/stack.ts'

describeRevocation('SQLite', openSqliteStack)
