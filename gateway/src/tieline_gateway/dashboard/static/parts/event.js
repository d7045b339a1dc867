// One event, whole: its payload and everything written on its envelope.
import { html } from "../core/view.js";
import { Badge, Topic, Trail } from "./badge.js";
import { Facts } from "./form.js";
import { Json } from "./json.js";
import { Moment } from "./time.js";

export function Event({ event, more = [] }) {
  const headers = Object.entries(event.headers ?? {});
  return html`<div class="event">
    <${Facts}
      facts=${[
        ...more,
        ["Topic", event.topic && html`<${Topic} name=${event.topic} />`],
        ["Key", event.key && html`<span class="id">${event.key}</span>`],
        ["From", event.source && html`<span class="id">${event.source}</span>`],
        ["Published", event.time && html`<${Moment} at=${event.time} />`],
        ["Expires", event.expires_at ? html`<${Moment} at=${event.expires_at} />` : ""],
        ["Id", event.id && html`<span class="id">${event.id}</span>`],
        ["Trail", event.correlation_id && html`<${Trail} id=${event.correlation_id} whole />`],
        ["Schema version", event.schema_version],
        ["Replay", event.replay],
      ]}
    />
    ${headers.length > 0 && html`<h3>Headers</h3><${Facts} facts=${headers} />`}
    <${Payload} of=${event} />
  </div>`;
}

/** A payload, or what can be said of one that JSON cannot say. */
export const Payload = ({ of }) =>
  of.data_base64 !== undefined
    ? html`<h3>Payload <${Badge}>${of.content_type || "bytes"}, as base64<//></h3><${Json} value=${of.data_base64} />`
    : html`<h3>Payload</h3><${Json} value=${of.data ?? null} />`;
