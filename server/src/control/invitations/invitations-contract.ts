import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ApiError, type ApiErrorCode } from '@berth/api/errors'
import { OPERATIONS } from '@berth/api/operations'
import { addMember, addPerson, callAs } from '../../../../test/support/console/members.ts'
import type { TestConsole } from '../../../../test/support/console/stack.ts'
import { mintKeyId } from '../../access/key.ts'
import { insertPeopleRecord } from '../../metastore/queries/people-record.ts'
import { loadPerson } from '../../metastore/queries/person.ts'
import { createPersonalToken } from '../../metastore/queries/personal-token.ts'
import type { PersonPrincipal } from '../principal.ts'
import { acceptAsNewcomer, acceptInvitation } from './service.ts'

const WEEK_MS = 7 * 24 * 3_600_000

/** Invitations, through the console: the same on every metadata database. */
export function describeInvitations(name: string, open: () => Promise<TestConsole>): void {
  describe(`invitations on ${name}`, () => {
    let opened: TestConsole
    let olga: PersonPrincipal
    let adam: PersonPrincipal
    const PARAMS = { project: 'club' }

    before(async () => {
      opened = await open()
      olga = await addPerson(opened, 'Olga')
      adam = await addPerson(opened, 'Adam')
      await callAs(opened, olga, 'projects.create', { body: { name: 'Club', namespace: 'club' } })
      await addMember(opened, 'club', adam, 'admin')
    })
    after(() => opened.close())

    function fails(code: ApiErrorCode): (error: unknown) => boolean {
      return (error) => {
        assert.ok(error instanceof ApiError, String(error))
        assert.equal(error.code, code, error.detail)
        return true
      }
    }

    async function invite(email: string, role: 'owner' | 'admin' | 'developer' | 'viewer' = 'developer') {
      return callAs(opened, adam, 'invitations.create', { params: PARAMS, body: { email, role } })
    }

    async function roleOf(person: PersonPrincipal): Promise<string | null> {
      const { items } = await opened.client.call('members.list', { params: PARAMS, query: { limit: 500 } })
      return items.find(({ userId }) => userId === person.userId)?.role ?? null
    }

    test('an invitation shows its link once, works once, and is nowhere in clear', async () => {
      const ida = await addPerson(opened, 'Ida')
      const made = await invite('  IDA@Example.com ')
      OPERATIONS['invitations.create'].response.parse(made)
      assert.equal(made.email, 'ida@example.com')
      assert.equal(made.link, `http://console.example/invitation?token=${made.token}`)
      assert.equal(Date.parse(made.expiresAt) - Date.parse(made.createdAt), WEEK_MS)
      const body = { token: made.token }
      const shown = await callAs(opened, ida, 'invitations.show', { body })
      OPERATIONS['invitations.show'].response.parse(shown)
      assert.deepEqual([shown.project?.namespace, shown.role], ['club', 'developer'])
      const accepted = await callAs(opened, ida, 'invitations.accept', { body })
      assert.equal(accepted.role, 'developer')
      assert.equal(await roleOf(ida), 'developer')
      await assert.rejects(callAs(opened, ida, 'invitations.accept', { body }), fails('invitation_not_found'))
      await assert.rejects(callAs(opened, ida, 'invitations.show', { body }), fails('invitation_not_found'))
      const rows = await opened.runtime.db.reader.selectFrom('invitation').selectAll().execute()
      const audit = await opened.client.call('auditEvents.listAll', { query: { limit: 500 } })
      const lists = await opened.client.call('invitations.list', { params: PARAMS, query: { state: 'all' } })
      const secret = made.token.replace('berth-invitation-', '')
      for (const text of [JSON.stringify([rows, audit, lists]), opened.logged()]) {
        assert.equal(text.includes(secret), false)
      }
    })

    test('only the address that was invited may accept, and a failed attempt uses nothing up', async () => {
      const [karl, lena] = [await addPerson(opened, 'Karl'), await addPerson(opened, 'Lena')]
      const { token } = await invite(karl.email)
      const body = { token }
      await assert.rejects(
        callAs(opened, lena, 'invitations.accept', { body }),
        fails('invitation_for_another'),
      )
      assert.equal(await roleOf(lena), null)
      await callAs(opened, karl, 'invitations.accept', { body })
      assert.equal(await roleOf(karl), 'developer')
    })

    test('whatever is wrong with a link, the answer is the same', async () => {
      const mona = await addPerson(opened, 'Mona')
      const [revoked, replaced, expired] = [
        await invite('revoked@example.com'),
        await invite(mona.email),
        await invite('expired@example.com'),
      ]
      await callAs(opened, adam, 'invitations.revoke', {
        params: { ...PARAMS, invitation: revoked.id },
      })
      await invite(mona.email)
      opened.advance(WEEK_MS + 1)
      for (const token of [revoked.token, replaced.token, expired.token, 'berth-invitation-none', 'x']) {
        for (const id of ['invitations.show', 'invitations.accept'] as const) {
          await assert.rejects(callAs(opened, mona, id, { body: { token } }), (error) => {
            assert.ok(error instanceof ApiError)
            assert.equal(error.code, 'invitation_not_found')
            assert.equal(error.detail, new ApiError('invitation_not_found').detail)
            return true
          })
        }
      }
      const { items } = await opened.client.call('invitations.list', {
        params: PARAMS,
        query: { state: 'all' },
      })
      const states = new Map(items.map(({ id, state }) => [id, state]))
      assert.deepEqual(
        [revoked, replaced, expired].map(({ id }) => states.get(id)),
        ['revoked', 'revoked', 'expired'],
      )
      const pending = await opened.client.call('invitations.list', { params: PARAMS })
      assert.deepEqual(pending.items, [])
    })

    test('who is a member cannot be invited, and a member never loses a role by an invitation', async () => {
      await assert.rejects(invite(olga.email, 'viewer'), fails('already_member'))
      const nora = await addPerson(opened, 'Nora')
      const { token } = await invite(nora.email, 'viewer')
      // Became an admin by another way while the link was open.
      const other = await callAs(opened, adam, 'invitations.create', {
        params: PARAMS,
        body: { email: 'nora2@example.com', role: 'viewer' },
      })
      assert.equal(other.state, 'pending')
      await callAs(opened, nora, 'invitations.accept', { body: { token } })
      assert.equal(await roleOf(nora), 'viewer')
    })

    test('an admin invites no owner, and revokes no invitation of one', async () => {
      await assert.rejects(invite('boss@example.com', 'owner'), fails('forbidden'))
      const body = { email: 'boss@example.com', role: 'owner' as const }
      const made = await callAs(opened, olga, 'invitations.create', { params: PARAMS, body })
      const params = { ...PARAMS, invitation: made.id }
      await assert.rejects(callAs(opened, adam, 'invitations.revoke', { params }), fails('forbidden'))
      const revoked = await callAs(opened, olga, 'invitations.revoke', { params })
      assert.equal(revoked.state, 'revoked')
      assert.equal((await callAs(opened, olga, 'invitations.revoke', { params })).state, 'revoked')
    })

    test('an admin replaces no invitation of an owner, and a replacement is an event', async () => {
      const email = 'heir@example.com'
      const first = await callAs(opened, olga, 'invitations.create', {
        params: PARAMS,
        body: { email, role: 'owner' },
      })
      await assert.rejects(invite(email, 'viewer'), fails('forbidden'))
      assert.deepEqual(await pendingRoles([email]), ['owner'])
      const body = { email, role: 'admin' as const }
      const second = await callAs(opened, olga, 'invitations.create', { params: PARAMS, body })
      const third = await invite(email, 'viewer')
      assert.deepEqual(await pendingRoles([email]), ['viewer'])
      assert.deepEqual(await revocations([first.id, second.id, third.id]), [
        [second.id, `person:${adam.userId}`, { email, replacedBy: third.id }],
        [first.id, `person:${olga.userId}`, { email, replacedBy: second.id }],
      ])
    })

    async function pendingRoles(emails: readonly string[]) {
      const { items } = await opened.client.call('invitations.list', {
        params: PARAMS,
        query: { limit: 500 },
      })
      return items.filter(({ email }) => emails.includes(email)).map(({ role }) => role)
    }

    async function revocations(ids: readonly string[]) {
      const { items } = await opened.client.call('auditEvents.list', {
        params: PARAMS,
        query: { action: 'invitation.revoke', limit: 500 },
      })
      return items
        .filter(({ target }) => ids.includes(target))
        .map(({ target, actor, detail }) => [target, actor, detail] as const)
    }

    test('open invitations end with the right of whoever made them', async () => {
      const una = await addPerson(opened, 'Una')
      await addMember(opened, 'club', una, 'owner')
      const roles = ['owner', 'admin', 'viewer'] as const
      const emails = roles.map((role) => `${role}-of-una@example.com`)
      const made: string[] = []
      for (const [i, role] of roles.entries()) {
        const body = { email: emails[i] ?? '', role }
        made.push((await callAs(opened, una, 'invitations.create', { params: PARAMS, body })).id)
      }
      const others = await invite('not-of-una@example.com')
      await callAs(opened, una, 'projects.create', { body: { name: 'Nest', namespace: 'nest' } })
      const elsewhere = { email: 'nest@example.com', role: 'owner' as const }
      await callAs(opened, una, 'invitations.create', { params: { project: 'nest' }, body: elsewhere })

      const user = { ...PARAMS, user: una.userId }
      await callAs(opened, olga, 'members.update', { params: user, body: { role: 'admin' } })
      assert.deepEqual(new Set(await pendingRoles(emails)), new Set(['admin', 'viewer']))
      await callAs(opened, olga, 'members.remove', { params: user })
      assert.deepEqual(await pendingRoles(emails), [])
      const actor = `person:${olga.userId}`
      const told = (await revocations(made)).map(([target, by]) => `${target} ${by}`)
      assert.deepEqual(told.toSorted(), made.map((id) => `${id} ${actor}`).toSorted())

      assert.deepEqual(await pendingRoles([others.email]), ['developer'])
      const nest = await callAs(opened, una, 'invitations.list', { params: { project: 'nest' } })
      assert.equal(nest.items.length, 1)
    })

    test("another project's invitation is not found, nor the installation's", async () => {
      await callAs(opened, olga, 'projects.create', { body: { name: 'Den', namespace: 'den' } })
      const den = await callAs(opened, olga, 'invitations.create', {
        params: { project: 'den' },
        body: { email: 'someone@example.com', role: 'viewer' },
      })
      const whole = await opened.client.call('installationInvitations.create', {
        body: { email: 'someone@example.com' },
      })
      for (const { id } of [den, whole]) {
        await assert.rejects(
          callAs(opened, adam, 'invitations.revoke', { params: { ...PARAMS, invitation: id } }),
          fails('invitation_not_found'),
        )
      }
      await assert.rejects(
        opened.client.call('installationInvitations.revoke', { params: { invitation: den.id } }),
        fails('invitation_not_found'),
      )
    })

    test('a newcomer gets an account and the role in one step; the address of an account is not taken over', async () => {
      const { token } = await invite('newcomer@example.com', 'viewer')
      const newcomer = { name: 'New Comer', passwordHash: 'hash' }
      const { userId } = await acceptAsNewcomer(opened.runtime, token, newcomer, { requestId: 'r' })
      const row = await loadPerson(opened.runtime.db.reader, userId)
      // An admin of some project has no say about whose address it is.
      assert.deepEqual([row?.email, row?.is_operator, row?.email_verified], ['newcomer@example.com', 0, 0])
      const { items } = await opened.client.call('members.list', { params: PARAMS, query: { limit: 500 } })
      assert.equal(items.find((member) => member.userId === userId)?.role, 'viewer')
      const again = acceptAsNewcomer(opened.runtime, token, newcomer, { requestId: 'r' })
      await assert.rejects(again, fails('invitation_not_found'))
      const pia = await addPerson(opened, 'Pia')
      const hers = await invite(pia.email)
      const stolen = acceptAsNewcomer(opened.runtime, hers.token, newcomer, { requestId: 'r' })
      await assert.rejects(stolen, fails('invitation_for_another'))
      await callAs(opened, pia, 'invitations.accept', { body: { token: hers.token } })
    })

    /** An account that was made through an invitation to a project: nobody has shown whose address it is. */
    async function squat(email: string): Promise<string> {
      const { token } = await invite(email, 'viewer')
      const newcomer = { name: 'Squatter', passwordHash: 'hash' }
      return (await acceptAsNewcomer(opened.runtime, token, newcomer, { requestId: 'r' })).userId
    }

    async function inviteToInstallation(email: string, operator = false): Promise<string> {
      const body = { email, operator }
      return (await opened.client.call('installationInvitations.create', { body })).token
    }

    function acceptNew(token: string): Promise<{ readonly userId: string }> {
      return acceptAsNewcomer(
        opened.runtime,
        token,
        { name: 'Own', passwordHash: 'hash' },
        { requestId: 'r' },
      )
    }

    async function accountOf(userId: string) {
      const row = await loadPerson(opened.runtime.db.reader, userId)
      return [row?.email, row?.email_verified, row?.is_operator]
    }

    test("an operator's invitation takes the address from an account that never showed that it is its own", async () => {
      const { db, clock } = opened.runtime
      const email = 'victim@example.com'
      const squatter = await squat(email)
      const origin = { actor: 'test', requestId: 'r', nowMs: clock.nowMs() }
      const times = { created_at: origin.nowMs, updated_at: origin.nowMs, expires_at: origin.nowMs + WEEK_MS }
      const [session, device] = ['session-of-squatter', 'device-of-squatter']
      const rows = [
        [
          'user_session',
          { token_hmac: session, kind: 'device', method: 'device', confirmed_at: null, ...times },
        ],
        [
          'device_code',
          {
            device_code: device,
            user_code: device,
            status: 'approved',
            created_at: 1,
            expires_at: times.expires_at,
          },
        ],
      ] as const
      for (const [table, values] of rows) {
        const from = { id: table + squatter, user_id: squatter, ip_address: '::1', user_agent: null }
        await db.run(insertPeopleRecord, { table, values: { ...values, ...from }, audit: null })
      }
      const personal = {
        userId: squatter,
        id: mintKeyId(),
        name: 'theirs',
        pepperVersion: 1,
        secretHmac: new Uint8Array(32),
        expiresAt: null,
        allowSensitive: false,
        limit: 1,
      }
      assert.ok((await db.run(createPersonalToken, { token: personal, origin })).ok)

      const { userId } = await acceptNew(await inviteToInstallation(email))
      assert.deepEqual(await accountOf(userId), [email, 1, 0])
      assert.deepEqual(await accountOf(squatter), [`${squatter}~displaced@invalid`, 0, 0])
      for (const table of ['user_session', 'device_code'] as const) {
        const left = await db.reader.selectFrom(table).select('id').where('user_id', '=', squatter).execute()
        assert.deepEqual(left, [], table)
      }
      const token = await db.reader
        .selectFrom('personal_token')
        .select('revoked_at')
        .where('user_id', '=', squatter)
        .executeTakeFirstOrThrow()
      assert.notEqual(token.revoked_at, null)
      const members = await opened.client.call('members.list', { params: PARAMS, query: { limit: 500 } })
      assert.deepEqual(
        members.items.filter((one) => [userId, squatter].includes(one.userId)).map((one) => one.userId),
        [squatter],
      )
      const { items } = await opened.client.call('auditEvents.listAll', {
        query: { action: 'person.displaced' },
      })
      assert.deepEqual(
        items.map(({ actor, target, detail }) => [actor, target, detail]),
        [[`person:${userId}`, squatter, { email, because: 'invitation' }]],
      )
    })

    test('an address gives way to no project, and an account of an operator or one disabled since to nobody', async () => {
      const squatter = await squat('held@example.com')
      await callAs(opened, olga, 'projects.create', { body: { name: 'Other', namespace: 'other' } })
      const { token } = await callAs(opened, olga, 'invitations.create', {
        params: { project: 'other' },
        body: { email: 'held@example.com', role: 'viewer' },
      })
      await assert.rejects(acceptNew(token), fails('invitation_for_another'))

      const earlier = await inviteToInstallation('stopped@example.com')
      const stopped = await squat('stopped@example.com')
      opened.advance(1)
      const params = { user: stopped }
      await opened.client.call('people.update', { params, body: { disabled: true } })
      await assert.rejects(acceptNew(earlier), fails('invitation_for_another'))
      opened.advance(1)
      await acceptNew(await inviteToInstallation('stopped@example.com'))

      await opened.client.call('people.update', { params: { user: squatter }, body: { isOperator: true } })
      const late = await inviteToInstallation('held@example.com')
      await assert.rejects(acceptNew(late), fails('invitation_for_another'))
      assert.deepEqual(await accountOf(squatter), ['held@example.com', 0, 1])
    })

    test("who accepts an operator's invitation with the account that they have, has shown that the address is theirs", async () => {
      const userId = await squat('honest@example.com')
      const token = await inviteToInstallation('honest@example.com')
      const nowMs = opened.runtime.clock.nowMs()
      const origin = { actor: `person:${userId}`, requestId: 'r', nowMs }
      await acceptInvitation(opened.runtime, token, userId, origin)
      assert.deepEqual(await accountOf(userId), ['honest@example.com', 1, 0])
      const again = await inviteToInstallation('honest@example.com')
      await assert.rejects(acceptNew(again), fails('invitation_for_another'))
    })

    test('an invitation to the installation makes an operator only when it says so', async () => {
      const [quin, rita] = [await addPerson(opened, 'Quin'), await addPerson(opened, 'Rita')]
      for (const [person, operator] of [
        [quin, false],
        [rita, true],
      ] as const) {
        const made = await opened.client.call('installationInvitations.create', {
          body: { email: person.email, operator },
        })
        assert.deepEqual([made.projectId, made.role, made.operator], [null, null, operator])
        await callAs(opened, person, 'invitations.accept', { body: { token: made.token } })
        const row = await loadPerson(opened.runtime.db.reader, person.userId)
        assert.equal(row?.is_operator, operator ? 1 : 0)
      }
      const { items } = await opened.client.call('installationInvitations.list', { query: { state: 'all' } })
      assert.ok(items.every(({ projectId }) => projectId === null))
    })

    test('of two who accept one invitation at the same time one is a member, with one event', async () => {
      const sven = await addPerson(opened, 'Sven')
      const { token, id } = await invite(sven.email)
      const attempts = Array.from({ length: 4 }, () =>
        callAs(opened, sven, 'invitations.accept', { body: { token } }),
      )
      const outcomes = await Promise.allSettled(attempts)
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
      const { items } = await opened.client.call('auditEvents.list', {
        params: PARAMS,
        query: { action: 'invitation.accept', limit: 500 },
      })
      assert.equal(items.filter(({ target }) => target === id).length, 1)
    })
  })
}
