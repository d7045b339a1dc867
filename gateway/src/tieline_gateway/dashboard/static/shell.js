// What surrounds every page: the way around, what is wrong with the connection, and the keyboard.
import { connection } from "./core/connection.js";
import { duration } from "./core/format.js";
import { useKeys } from "./core/keys.js";
import { address, go } from "./core/router.js";
import { session, signOut } from "./core/session.js";
import { useStore } from "./core/store.js";
import { html, useEffect, useState } from "./core/view.js";
import { colours } from "./parts/chart.js";
import { Dialog } from "./parts/dialog.js";
import { Moment } from "./parts/time.js";

const PLACES = [
  ["See", [["/", "Overview", "o"], ["/services", "Services", "s"], ["/calls", "Calls", "c"], ["/tap", "Event tap", "t"], ["/history", "History", "i"]]],
  ["Look after", [["/dead-letters", "Dead letters", "d"], ["/groups", "Groups", "g"], ["/schedules", "Schedules", "p"], ["/cron", "Cron", "r"], ["/webhooks", "Webhooks", "w"]]],
  ["Try", [["/console", "Console", "e"]]],
]; // biome-ignore format: a table

/** The frame of a page. */
export function Shell({ path, children }) {
  const [help, setHelp] = useState(false);
  const jumps = Object.fromEntries(
    PLACES.flatMap(([, all]) => all.map(([to, , key]) => [`g ${key}`, () => go(address(to))])),
  );
  useKeys({ ...jumps, "?": () => setHelp(true), "/": search, Escape: leave });
  return html`<a class="skip" href="#main" onClick=${toMain}>Skip to the content</a>
    <div class="shell">
      <${Way} path=${path} help=${() => setHelp(true)} />
      <main id="main" tabindex="-1"><${Banner} />${children}</main>
    </div>
    ${help && html`<${Help} close=${() => setHelp(false)} />`}`;
}

function Way({ path, help }) {
  const { needed, name } = useStore(session);
  const here = (to) => (to === "/" ? path === "/" : path === to || path.startsWith(`${to}/`));
  return html`<header class="way">
    <a class="brand" href=${address("/")}><img src="/dashboard/static/icon.svg" alt="" width="24" height="24" />Tieline</a>
    <nav aria-label="Pages">
      ${PLACES.map(
        ([head, all]) => html`<div class="way-part">
          <p class="way-head" id=${`way-${head}`}>${head}</p>
          <ul aria-labelledby=${`way-${head}`}>
            ${all.map(([to, text]) => html`<li><a href=${address(to)} aria-current=${here(to) ? "page" : null}>${text}</a></li>`)}
          </ul>
        </div>`,
      )}
    </nav>
    <div class="way-end">
      ${!needed && name && html`<p class="who"><span title="You are signed in as">${name}</span> <button type="button" class="quiet small" onClick=${signOut}>Sign out</button></p>`}
      <${Theme} />
      <button type="button" class="quiet small" onClick=${help}>Keyboard <kbd>?</kbd></button>
    </div>
  </header>`;
}

function Theme() {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  const change = (event) => {
    const chosen = event.target.value;
    setTheme(chosen);
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
    chosen ? localStorage.setItem("tieline.theme", chosen) : localStorage.removeItem("tieline.theme");
    colours.set(colours.get() + 1);
  };
  useEffect(() => {
    const system = matchMedia("(prefers-color-scheme: dark)");
    const changed = () => colours.set(colours.get() + 1);
    system.addEventListener("change", changed);
    return () => system.removeEventListener("change", changed);
  }, []);
  return html`<label class="theme"><span class="hidden">Colours</span>
    <select value=${theme} onChange=${change} aria-label="Colours">
      <option value="" selected=${theme === ""}>As the system</option>
      <option value="light" selected=${theme === "light"}>Light</option>
      <option value="dark" selected=${theme === "dark"}>Dark</option>
    </select>
  </label>`;
}

/** Says that what is shown is old, and why; it floats, so nothing moves. */
function Banner() {
  const { there, since, trouble } = useStore(connection);
  const [, tick] = useState(0);
  useEffect(() => {
    if (there) return undefined;
    const timer = setInterval(() => tick((count) => count + 1), 1_000);
    return () => clearInterval(timer);
  }, [there]);
  if (there && !trouble) return null;
  const told = there
    ? html`The gateway is ${trouble}. What needs it waits or fails meanwhile.`
    : html`The gateway does not answer. What you see is from <${Moment} at=${since} />, ${duration(Date.now() - since)} ago; it is asked again every second.`;
  return html`<p class="banner" role="alert">${told}</p>`;
}

function Help({ close }) {
  const row = ([keys, text]) =>
    html`<div><dt>${keys.split(" ").map((key) => html`<kbd>${key}</kbd> `)}</dt><dd>${text}</dd></div>`;
  const jumps = PLACES.flatMap(([, all]) => all.map(([, text, key]) => [`g ${key}`, text]));
  const rest = [
    ["/", "Search, or the first filter"],
    ["Esc", "Close, or leave a field"],
    ["?", "This list"],
  ];
  return html`<${Dialog} title="Keyboard" close=${close}>
    <dl class="key-list">${[...jumps, ...rest].map(row)}</dl>
    <div class="actions end"><button type="button" onClick=${close}>Close</button></div>
  <//>`;
}

function search() {
  const field = document.querySelector("main [data-search], main input[type=search], main input:not([type=checkbox])");
  field?.focus();
  field?.select?.();
  return Boolean(field);
}

function leave() {
  if (document.querySelector("dialog[open]")) return false;
  document.activeElement?.blur?.();
  return true;
}

function toMain(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
