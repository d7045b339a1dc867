// Server-sent events, read with fetch: unlike EventSource it says why it was refused, and it can POST.
import { send } from "./api.js";
import { connection } from "./connection.js";
import { parsed as exact } from "./exact.js";
import { store, useStore } from "./store.js";
import { useEffect, useRef, useState } from "./view.js";

const PAUSE_MS = 1_500;

/** Read events until the stream ends or `signal` stops it: `told({event, data, id, size})`, with data as JSON. */
export async function readEvents(method, path, { query, body, signal, told, opened = () => {} }) {
  const answer = await send(method, path, { query, body, signal, accept: "text/event-stream" });
  opened();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const event = parsed(part);
      if (event) told({ ...event, size: part.length });
    }
  }
}

function parsed(part) {
  const event = { event: "message", data: "", id: "" };
  const lines = [];
  for (const line of part.split(/\r?\n/)) {
    const [, name, value] = /^(\w+): ?(.*)$/s.exec(line) ?? [];
    if (name === "data") lines.push(value);
    else if (name === "event" || name === "id") event[name] = value;
  }
  if (!lines.length) return null;
  const text = lines.join("\n");
  try {
    event.data = exact(text);
  } catch {
    event.data = text;
  }
  return event;
}

/** Whether somebody looks: browsers have few connections for all their tabs, and a stream takes one. */
const looked = store(!document.hidden);
document.addEventListener("visibilitychange", () => looked.set(!document.hidden));

/**
 * Follow a stream while the component is shown, and again after it broke; `always` also while nobody looks at the page.
 */
export function useStream(path, query, told, { always = false } = {}) {
  const [state, setState] = useState({ open: false, problem: null });
  const { returns } = useStore(connection);
  const handler = useRef(told);
  handler.current = told;
  const of = `${path}?${JSON.stringify(query)}`;
  const wanted = useStore(looked) || always;

  useEffect(() => {
    if (!wanted) return undefined;
    const ending = new AbortController();
    follow(path, query, ending.signal, handler, setState);
    return () => ending.abort();
  }, [of, returns, wanted]);
  return state;
}

async function follow(path, query, signal, handler, setState) {
  while (!signal.aborted) {
    let problem = null;
    try {
      const opened = () => setState({ open: true, problem: null });
      await readEvents("GET", path, { query, signal, opened, told: (event) => handler.current(event) });
    } catch (error) {
      problem = error.status ? error : null; // that the gateway is away is said for the whole page
    }
    if (signal.aborted) return;
    setState({ open: false, problem });
    if (problem && problem.status >= 400 && problem.status < 500 && problem.status !== 429) return;
    await new Promise((wake) => setTimeout(wake, PAUSE_MS));
  }
}
