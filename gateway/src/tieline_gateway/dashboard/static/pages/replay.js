// Plays recorded events again, and tells how far it is. Leaving stops it.
import { count } from "../core/format.js";
import { readEvents } from "../core/sse.js";
import { html, useEffect, useRef, useState } from "../core/view.js";
import { Dialog } from "../parts/dialog.js";
import { Field } from "../parts/form.js";
import { Trouble } from "../parts/notice.js";

export function Replay({ filters, close }) {
  const [state, setState] = useState({ told: null, problem: null, busy: false, ended: false });
  const ending = useRef(new AbortController());
  useEffect(() => () => ending.current.abort(), []);
  const begin = async (event) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    setState({ told: null, problem: null, busy: true, ended: false });
    try {
      await readEvents("POST", "/v1/replays", {
        body: order(filters, form),
        signal: ending.current.signal,
        told: progress,
      });
      setState((before) => ({ ...before, busy: false, ended: !before.problem }));
    } catch (problem) {
      if (problem.name !== "AbortError") setState((before) => ({ ...before, problem, busy: false }));
    }
  };
  const progress = ({ event, data }) =>
    setState((before) =>
      event === "error" ? { ...before, problem: { message: data.detail, ...data } } : { ...before, told: data },
    );
  return html`<${Dialog} title="Replay what fits the filters" close=${close}>
    <form onSubmit=${begin}>
      <p class="soft">${filters.topic ? html`Events of <code>${filters.topic}</code> are` : "All recorded events are"} delivered again, to one group or to another topic.</p>
      <${Field} label="To the group"><input name="group" autofocus placeholder="default" value="" /><//>
      <${Field} label="Or to the topic"><input name="to_topic" placeholder="as it was" /><//>
      <${Field} label="Speed" hint="1 is as it was, 10 ten times as fast; empty as fast as it goes"><input name="speed" inputmode="decimal" /><//>
      ${state.told && html`<${Progress} told=${state.told} ended=${state.ended} />`}
      <${Trouble} problem=${state.problem} />
      <div class="actions end">
        <button type="button" onClick=${close}>${state.busy ? "Stop" : "Close"}</button>
        <button type="submit" class="primary" disabled=${state.busy || state.ended}>Replay</button>
      </div>
    </form>
  <//>`;
}

function order({ topic, since, until }, form) {
  const body = { topics: topic ? [topic] : [], speed: form.get("speed") ? Number(form.get("speed")) : null };
  if (since) body.since = Number(since);
  if (until) body.until = Number(until);
  for (const name of ["group", "to_topic"]) if (form.get(name)) body[name] = form.get(name);
  return body;
}

function Progress({ told, ended }) {
  return html`<div role="status">
    ${told.total > 0 && html`<progress max=${told.total} value=${told.sent + told.skipped}></progress>`}
    <p>${count(told.sent)}${told.total ? ` of ${count(told.total)}` : ""} played again${ended ? "; that was all." : "…"}</p>
  </div>`;
}
