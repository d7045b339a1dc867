// One dead letter: what it was, why it failed; put it back, as it is or with another payload, or delete it.
import { ask } from "../core/api.js";
import { parsed } from "../core/exact.js";
import { count } from "../core/format.js";
import { useLoad } from "../core/load.js";
import { address, go, segment } from "../core/router.js";
import { html, useState } from "../core/view.js";
import { Badge, Topic } from "../parts/badge.js";
import { Confirm } from "../parts/dialog.js";
import { Done, useDoing } from "../parts/doing.js";
import { Event } from "../parts/event.js";
import { Head } from "../parts/head.js";
import { written } from "../parts/json.js";
import { Loaded, Trouble } from "../parts/notice.js";
import { Moment } from "../parts/time.js";

const PATH = "/v1/dead-letters";

export function Letter({ topic, id }) {
  const found = useLoad(`${PATH}/${segment(topic)}/${segment(id)}`);
  const [doing, setDoing] = useState("");
  const [state, run] = useDoing();
  const [gone, setGone] = useState("");
  const finished = (text) => setGone(text);
  const redrive = () =>
    run(() => ask("POST", `${PATH}/redrive`, { body: { topic, ids: [id] } }).then(() => finished("It was put back.")));
  const all = address("/dead-letters", { topic });
  return html`<${Head} title=${`Dead letter ${id}`} about=${html`of <a href=${all}><${Topic} name=${topic} /></a>`}>
      <button type="button" class="primary" disabled=${!found.data || gone || state.busy} onClick=${redrive}>Redrive</button>
      <button type="button" disabled=${!editable(found.data) || gone} onClick=${() => setDoing("edit")}>Edit and redrive…</button>
      <button type="button" disabled=${!found.data || gone} onClick=${() => setDoing("purge")}>Delete…</button>
    <//>
    <${Done} state=${state} />
    ${gone && html`<p class="notice good" role="status">${gone} <a href=${all}>Back to the dead letters of this topic</a></p>`}
    <${Loaded} from=${found}>${(letter) => html`<${Told} letter=${letter} />`}<//>
    ${doing === "edit" && html`<${Edit} letter=${found.data} path=${`${PATH}/${segment(topic)}/${segment(id)}`} close=${() => setDoing("")} finished=${finished} />`}
    ${doing === "purge" && html`<${Delete} topic=${topic} id=${id} close=${() => setDoing("")} left=${() => go(all)} />`}`;
}

/** Bytes cannot be edited here. */
const editable = (letter) => letter && letter.event.data_base64 === undefined;

function Told({ letter }) {
  const { error } = letter;
  const facts = [
    ["Reason", html`<${Badge} kind="bad">${letter.reason}<//>`],
    ["Group", letter.group],
    ["Attempts", count(letter.attempts)],
    ["Put back before", letter.redriven ? count(letter.redriven) : ""],
    ["Given up", html`<${Moment} at=${letter.time} />`],
  ];
  return html`<section class="card" aria-label="Error"><h2>${error.type || error.code}</h2><p class="soft"><bdi>${error.message}</bdi></p></section>
    <section class="card" aria-label="Event"><${Event} event=${letter.event} more=${facts} /></section>`;
}

function Edit({ letter, path, close, finished }) {
  const [text, setText] = useState(written(letter.event.data ?? null));
  const wrong = mistake(text);
  const act = async () => {
    await ask("PUT", path, { body: { data: parsed(text) } });
    finished("It was put back with the new payload.");
  };
  return html`<${Confirm} title="Put back with another payload" action="Redrive" act=${act} close=${close}>
    <label class="field"><span class="field-label">Payload (JSON)</span>
      <textarea rows="14" spellcheck="false" autofocus value=${text} onInput=${(event) => setText(event.target.value)} aria-invalid=${Boolean(wrong)}></textarea>
    </label>
    ${wrong && html`<${Trouble} problem=${{ message: `This is no JSON: ${wrong}` }} />`}
  <//>`;
}

function Delete({ topic, id, close, left }) {
  const act = async () => {
    await ask("POST", `${PATH}/purge`, { body: { topic, ids: [id] } });
    left();
  };
  return html`<${Confirm} title="Delete this dead letter?" action="Delete" danger act=${act} close=${close}>
    <p>What is deleted cannot be brought back.</p>
  <//>`;
}

function mistake(text) {
  try {
    parsed(text);
    return "";
  } catch (error) {
    return error.message;
  }
}
