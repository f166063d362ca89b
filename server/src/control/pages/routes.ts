import { createOpenApi } from '@berth/api/openapi'
import type { FastifyInstance } from 'fastify'
import { AUTH_PATHS } from '../people/auth-routes.ts'
import type { People } from '../people/people.ts'
import type { ControlRuntime } from '../runtime.ts'
import { showAccount, submitAccount } from './account.ts'
import { showConfirm, submitConfirm } from './confirm.ts'
import { showDevice, submitDevice } from './device.ts'
import { INVITATION_PATH } from '../invitations/service.ts'
import { PASSWORD_RESET_PATH } from '../people/service.ts'
import { showInvitation, submitInvitation } from './invitation.ts'
import { renderLanding } from './landing.ts'
import { type PageRoute, registerPageRoutes, sendHtml } from './page.ts'
import { showPasswordReset, submitPasswordReset } from './password-reset.ts'
import { showSetup, submitSetup } from './setup.ts'
import { showSignIn, startSso, submitSignIn, submitSignOut } from './sign-in.ts'

/** Paths outside of the API, with why each may be read without a token. */
export const PUBLIC_PATHS: Readonly<Record<string, string>> = {
  '/': 'says what this is',
  '/setup': 'has a token of its own, which works once',
  '/openapi.json': 'describes the API, the same for everybody',
  '/sign-in': 'is where a session begins',
  '/sign-in/sso': 'sends the browser on to the issuer of single sign-on',
  '/sign-out': "ends the browser's session, if there is one",
  '/confirm': 'asks for a session, and for the password',
  '/device': 'asks for a session that was confirmed lately',
  '/account': 'asks for a session',
  '/invitation': 'has a token of its own, which works once',
  '/password-reset': 'has a token of its own, which works once',
  ...AUTH_PATHS,
}

const PAGES: readonly PageRoute[] = [
  { path: '/setup', route: 'setup', show: showSetup, submit: submitSetup },
  { path: '/sign-in', route: 'sign_in', show: showSignIn, submit: submitSignIn },
  { path: '/sign-in/sso', route: 'sign_in_sso', show: startSso },
  { path: '/sign-out', route: 'sign_out', submit: submitSignOut },
  { path: '/confirm', route: 'confirm', show: showConfirm, submit: submitConfirm },
  { path: '/device', route: 'device', show: showDevice, submit: submitDevice },
  { path: '/account', route: 'account', show: showAccount, submit: submitAccount },
  {
    path: PASSWORD_RESET_PATH,
    route: 'password_reset',
    show: showPasswordReset,
    submit: submitPasswordReset,
  },
  { path: INVITATION_PATH, route: 'invitation', show: showInvitation, submit: submitInvitation },
]

/** Registers the console's own pages. None has a script. */
export function registerPages(app: FastifyInstance, runtime: ControlRuntime, people: People): void {
  app.get('/', { config: { route: 'landing' } }, async (_request, reply) =>
    sendHtml(reply, 200, renderLanding(runtime)),
  )
  registerPageRoutes(app, runtime, people, PAGES)
  const openApi = JSON.stringify(createOpenApi(runtime.installation.version))
  app.get('/openapi.json', { config: { route: 'openapi' } }, async (_request, reply) =>
    reply.type('application/json; charset=utf-8').send(openApi),
  )
}
