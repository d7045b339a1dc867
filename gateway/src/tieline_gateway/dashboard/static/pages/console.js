// Try it: publish an event or call somebody, and see what comes of it.

import { ask } from "../core/api.js";
import { parsed } from "../core/exact.js";
import { ms } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, segment, useQuery } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Field } from "../parts/form.js";
import { Head } from "../parts/head.js";
import { Json, written } from "../parts/json.js";
import { Empty, Trouble } from "../parts/notice.js";
import { example, shape } from "../parts/shape.js";

export function Console() {
  const [query, change] = useQuery();
  const [asked, setAsked] = useState(null);
  const [busy, setBusy] = useState(false);
  const mode = query("mode") === "publish" ? "publish" : "call";
  const send = async (order) => {
    setBusy(true);
    setAsked(await tried(mode, order));
    setBusy(false);
  };
  return html`<${Head} title="Console" about="Publish an event, or call whoever answers, and see what comes of it." />
    <nav class="tabs" aria-label="What to do">
      ${["call", "publish"].map((each) => html`<a href=${address("/console", { topic: query("topic"), data: query("data"), mode: each })} aria-current=${each === mode ? "page" : null}>${each === "call" ? "Call" : "Publish"}</a>`)}
    </nav>
    <div class="pair even">
      <section class="card" aria-label="What to send"><${Order} mode=${mode} query=${query} change=${change} send=${send} busy=${busy} /></section>
      <section class="card" aria-label="What came of it" aria-live="polite">
        ${asked ? html`<${Outcome} asked=${asked} />` : html`<${Empty} title="Nothing sent yet" command=${mode === "call" ? "tieline call calculate.sum '[1, 2, 3]'" : "tieline pub user.created '{\"id\": 1}'"}>The answer, or the error, is shown here, with the way it took. In a terminal:<//>`}
      </section>
    </div>`;
}

async function tried(mode, { topic, text, ...rest }) {
  const correlation = newId();
  const began = performance.now();
  const told = { mode, topic, correlation, problem: null, answer: null, key: rest.key };
  try {
    const body = { topic, data: parsed(text || "null"), correlation_id: correlation, ...filled(rest) };
    told.answer = await ask("POST", mode === "call" ? "/v1/calls" : "/v1/events", { body });
  } catch (error) {
    told.problem = error instanceof SyntaxError ? { message: `The payload is no JSON: ${error.message}` } : error;
  }
  return { ...told, took: performance.now() - began };
}

const filled = (rest) =>
  Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== "" && value !== 0 && value !== false));
const newId = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

function Order({ mode, query, change, send, busy }) {
  const services = useLoad("/v1/services");
  const [topic, setTopic] = useState(query("topic"));
  const [text, setText] = useState(query("data") || "");
  const known = subscriptions(services.data);
  const schema = known.find((each) => each.topic === topic && each.input)?.input;
  const submit = (event) => {
    event.preventDefault();
    change({ topic, data: text.length < 1_500 ? text : "" });
    send({ topic: topic.trim(), text, ...extras(mode, new FormData(event.currentTarget)) });
  };
  const keys = (event) =>
    (event.ctrlKey || event.metaKey) && event.key === "Enter" && event.currentTarget.requestSubmit();
  return html`<form class="stack" onSubmit=${submit} onKeyDown=${keys}>
    <${Field} label="Topic"><input data-search required list="topics" value=${topic} onInput=${(event) => setTopic(event.target.value)} spellcheck="false" autocomplete="off" placeholder=${mode === "call" ? "calculate.sum" : "user.created"} /><//>
    <datalist id="topics">${[...new Set(known.map((each) => each.topic))].map((each) => html`<option value=${each} />`)}</datalist>
    <${Field} label="Payload (JSON)"><textarea rows="9" spellcheck="false" value=${text} onInput=${(event) => setText(event.target.value)} placeholder="null"></textarea><//>
    ${schema && html`<p class="hint"><span class="faint">Takes</span> <code>${shape(schema)}</code> <button type="button" class="small" onClick=${() => setText(written(example(schema)))}>Insert an example</button></p>`}
    <div class="filters">${mode === "call" ? html`<${CallFields} />` : html`<${EventFields} />`}</div>
    <div class="actions"><button type="submit" class="primary" disabled=${busy}>${busy ? "Waiting…" : mode === "call" ? "Call" : "Publish"}</button><span class="faint"><kbd>Ctrl</kbd> <kbd>Enter</kbd></span></div>
  </form>`;
}

const CallFields = () => html`
  <${Field} label="Timeout (s)"><input name="ttl" type="number" min="0.1" step="any" placeholder="30" /><//>
  <${Field} label="Idempotency key"><input name="idempotency_key" spellcheck="false" placeholder="none" /><//>`;

const EventFields = () => html`
  <${Field} label="Key"><input name="key" spellcheck="false" placeholder="none" /><//>
  <${Field} label="Delay (s)"><input name="delay" type="number" min="0" step="any" placeholder="now" /><//>
  <label class="tick"><input name="durable" type="checkbox" /> Durable</label>`;

function extras(mode, form) {
  const ms = (name) => Math.round(Number(form.get(name) || 0) * 1000);
  if (mode === "call") return { ttl_ms: ms("ttl"), idempotency_key: form.get("idempotency_key") };
  return { key: form.get("key"), delay_ms: ms("delay"), durable: form.has("durable") };
}

const subscriptions = (told) =>
  (told?.services ?? []).flatMap((each) => each.subscriptions).filter(({ topic }) => !/[*>]/.test(topic));

function Outcome({ asked }) {
  const { mode, problem, answer } = asked;
  const good = mode === "call" ? "answered" : answer?.planned ? "planned" : answer?.stored ? "stored" : "published";
  return html`<div class="outcome">
    <p class="outcome-head">
      <${Badge} kind=${problem ? "bad" : "good"}>${problem ? (problem.code ?? "not sent") || "failed" : good}<//>
      <strong><${Topic} name=${asked.topic} /></strong>
      <span class="faint">in ${ms(asked.took)}</span>
    </p>
    <${Trouble} problem=${problem} />
    ${answer && html`<${Json} value=${mode === "call" ? answer.data : answer} label="answer" />`}
    ${(answer || problem?.code) && html`<p><a href=${address(`/calls/${segment(asked.correlation)}`)}>Where it went</a></p>`}
    ${answer?.planned && html`<p><a href=${address(`/schedules/${segment(answer.id)}`)}>When it is published</a></p>`}
  </div>`;
}
