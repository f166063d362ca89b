import { MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH } from '../people/limits.ts'
import { html, type Html } from './html.ts'

/** The field of a form for a password that is to be set, with what makes a good one. */
export function newPasswordField(label: string): Html {
  return html`<label>${label} <input name="password" type="password" autocomplete="new-password" required minlength="${String(MIN_PASSWORD_LENGTH)}" maxlength="${String(MAX_PASSWORD_LENGTH)}"></label>
<p class="hint">At least ${String(MIN_PASSWORD_LENGTH)} characters; a few words that do not belong together are good.</p>`
}
