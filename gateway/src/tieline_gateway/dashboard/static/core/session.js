// Who is signed in. A gateway that asks nobody who they are lets everybody do everything.
import { store } from "./store.js";

const state = store({ known: false, needed: false, name: "", csrf: "" });

/** `needed`: nobody is signed in, and somebody has to be. */
export const session = {
  ...state,
  ended() {
    state.set({ known: true, needed: true, name: "", csrf: "" });
  },
};

/** Ask the gateway who we are. */
export async function resume() {
  const answer = await fetch("/v1/session", { cache: "no-store" }).catch(() => null);
  if (answer?.status === 401) session.ended();
  else if (answer?.ok) begun(await answer.json());
  else state.set({ ...state.get(), known: true });
}

/** Sign in with a token; returns what is wrong with it, or nothing. */
export async function signIn(token) {
  const answer = await fetch("/v1/session", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token }),
  }).catch(() => null);
  if (answer === null) return "the gateway does not answer";
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) return told.detail || `the gateway refuses: ${answer.status}`;
  begun(told);
  return "";
}

/** Forget who we are, here and there. */
export async function signOut() {
  await fetch("/v1/session", { method: "DELETE", headers: { "x-csrf-token": state.get().csrf } }).catch(() => null);
  session.ended();
}

function begun(told) {
  state.set({ known: true, needed: false, name: told.authenticated ? told.name : "", csrf: told.csrf ?? "" });
}
