// The HTTP API of the gateway. What it refuses is thrown as a Problem, which says what went wrong in its own words.
import { connection } from "./connection.js";
import { parsed } from "./exact.js";
import { session } from "./session.js";

/** What went wrong: `status`, `code`, `outcome`, `detail`… of RFC 9457; status 0 if the gateway did not answer. */
export class Problem extends Error {
  constructor(told) {
    super(told.detail || told.title || "something went wrong");
    Object.assign(this, { status: 0, code: "", outcome: "", detail: "", ...told });
  }
}

/** Ask; returns the answer's JSON, or null for none. */
export async function ask(method, path, { query = {}, body, headers = {}, signal } = {}) {
  const answer = await send(method, path, { query, body, headers, signal });
  if (answer.status === 204) return null;
  return parsed(await answer.text());
}

export const get = (path, query, signal) => ask("GET", path, { query, signal });

/** Ask; returns the response, if it is no refusal. */
export async function send(method, path, { query = {}, body, headers = {}, signal, accept = "application/json" } = {}) {
  const sent = { accept, ...headers };
  if (body !== undefined) sent["content-type"] = "application/json";
  if (method !== "GET" && session.get().csrf) sent["x-csrf-token"] = session.get().csrf;
  let answer;
  try {
    answer = await fetch(path + search(query), {
      method,
      headers: sent,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.lost();
    throw new Problem({ title: "Unreachable", detail: "the gateway does not answer" });
  }
  if (answer.ok) return answer;
  throw await refused(answer);
}

async function refused(answer) {
  let told = {};
  try {
    told = await answer.json();
  } catch {
    // Something between us and the gateway answered; its status has to do.
  }
  if (answer.status === 401) session.ended();
  return new Problem({ title: answer.statusText, ...told, status: answer.status });
}

function search(query) {
  const told = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) {
      if (each !== undefined && each !== null && each !== "") told.append(name, each);
    }
  }
  const text = told.toString();
  return text && `?${text}`;
}
