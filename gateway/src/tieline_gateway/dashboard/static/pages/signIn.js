// Nobody is signed in, and somebody has to be.
import { signIn } from "../core/session.js";
import { html, useState } from "../core/view.js";

export function SignIn() {
  const [wrong, setWrong] = useState("");
  const [busy, setBusy] = useState(false);
  const send = async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    setBusy(true);
    setWrong(await signIn(new FormData(form).get("token").trim()));
    setBusy(false);
  };
  return html`<main class="sign-in" id="main">
    <form class="card" onSubmit=${send}>
      <img src="/dashboard/static/icon.svg" alt="" width="40" height="40" />
      <h1>Sign in to Tieline</h1>
      <label class="field">
        <span class="field-label">Token</span>
        <input name="token" type="password" autocomplete="current-password" required autofocus aria-describedby="token-hint" />
      </label>
      <p class="faint" id="token-hint">
        The one you would send as <code>authorization: Bearer …</code>. Whoever runs the gateway makes one with${" "}
        <code>tieline token</code>.
      </p>
      ${wrong && html`<p class="notice bad" role="alert">${wrong}</p>`}
      <button type="submit" class="primary" disabled=${busy}>Sign in</button>
    </form>
  </main>`;
}
