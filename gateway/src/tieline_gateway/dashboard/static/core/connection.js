// Whether the gateway is there, and its broker: asked every few seconds, whatever page is shown.
import { store } from "./store.js";

const SECONDS = 3;
const PATIENCE_MS = 10_000;

const state = store({ there: true, since: Date.now(), trouble: "", returns: 0 });

/** `there`; `since` when it was last seen; `trouble`: what it says of itself; `returns`: how often it came back. */
export const connection = {
  ...state,
  lost() {
    if (state.get().there) state.set({ ...state.get(), there: false });
    again(SECONDS);
  },
};

let timer;

function again(seconds) {
  clearTimeout(timer);
  timer = setTimeout(look, seconds * 1000);
}

async function look() {
  const before = state.get();
  try {
    const answer = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    const trouble = answer.ok ? "" : (await answer.text()).slice(0, 200);
    const back = !before.there || (before.trouble && !trouble);
    state.set({ there: true, since: Date.now(), trouble, returns: before.returns + (back ? 1 : 0) });
  } catch {
    state.set({ ...before, there: false });
  }
  again(state.get().there ? SECONDS : 1);
}

/** Begin to look; also at once when the computer wakes up or finds a network again. */
export function watchConnection() {
  for (const name of ["online", "focus"]) addEventListener(name, look);
  look();
}
