import type { Selectable } from 'kysely'

/*
 * Tables of the control plane's database about who belongs to which project. Same conventions as in `region-schema.ts`.
 */

export interface MemberTables {
  project_member: ProjectMemberTable
  invitation: InvitationTable
}

export interface ProjectMemberTable {
  project_id: string
  user_id: string
  /** The project's: makes the list of a person's projects one range of an index. */
  namespace: string
  role: 'owner' | 'admin' | 'developer' | 'viewer'
  created_at: number
}

export interface InvitationTable {
  id: string
  /** Null: to the installation. */
  project_id: string | null
  /** In lower case. */
  email: string
  /** Null: to the installation. */
  role: 'owner' | 'admin' | 'developer' | 'viewer' | null
  /** 1: the person becomes an operator. */
  is_operator: number
  token_hmac: Uint8Array
  created_at: number
  created_by: string
  expires_at: number
  accepted_at: number | null
  accepted_by: string | null
  revoked_at: number | null
}

export type ProjectMemberRow = Selectable<ProjectMemberTable>
export type InvitationRow = Selectable<InvitationTable>
