// The dashboard: which page is at which address, and what is there before any page.
import { watchConnection } from "./core/connection.js";
import { followLinks, match, place } from "./core/router.js";
import { resume, session } from "./core/session.js";
import { useStore } from "./core/store.js";
import { html, render, useEffect } from "./core/view.js";
import { Call } from "./pages/call.js";
import { Calls } from "./pages/calls.js";
import { Console } from "./pages/console.js";
import { Cron } from "./pages/cron.js";
import { DeadLetters } from "./pages/deadLetters.js";
import { Groups } from "./pages/groups.js";
import { History } from "./pages/history.js";
import { Letter } from "./pages/letter.js";
import { Overview } from "./pages/overview.js";
import { Schedules } from "./pages/schedules.js";
import { Services } from "./pages/services.js";
import { SignIn } from "./pages/signIn.js";
import { Tap } from "./pages/tap.js";
import { Webhooks } from "./pages/webhooks.js";
import { Empty } from "./parts/notice.js";
import { Shell } from "./shell.js";

const ROUTES = [
  ["/", Overview],
  ["/services", Services],
  ["/services/:service", Services],
  ["/calls", Calls],
  ["/calls/:id", Call],
  ["/tap", Tap],
  ["/history", History],
  ["/history/:id", History],
  ["/dead-letters", DeadLetters],
  ["/dead-letters/:topic/:id", Letter],
  ["/groups", Groups],
  ["/groups/:topic", Groups],
  ["/schedules", Schedules],
  ["/schedules/:id", Schedules],
  ["/cron", Cron],
  ["/cron/*name", Cron],
  ["/webhooks", Webhooks],
  ["/console", Console],
];

function App() {
  const { path } = useStore(place);
  const { known, needed } = useStore(session);
  const found = match(ROUTES, path);
  useEffect(() => {
    const [title] = document.querySelectorAll("main h1");
    document.title = title ? `${title.textContent} · Tieline` : "Tieline";
  });
  if (!known) return null;
  if (needed) return html`<${SignIn} />`;
  const page = found
    ? html`<${found.page} ...${found.names} key=${found.page.name} />`
    : html`<${Lost} path=${path} />`;
  return html`<${Shell} path=${path}>${page}<//>`;
}

const Lost = ({ path }) => html`<h1>There is no such page</h1>
  <${Empty} title="Nothing is at this address">
    <code>${path}</code> may be a link of another version. <a href="/dashboard/">Go to the overview.</a>
  <//>`;

followLinks();
watchConnection();
resume();
render(html`<${App} />`, document.getElementById("app"));
