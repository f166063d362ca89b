import { openTestConsole } from '../../../test/support/console/stack.ts'
import { describeAuditUpkeep } from './audit-upkeep-contract.ts'

describeAuditUpkeep('SQLite', openTestConsole)
