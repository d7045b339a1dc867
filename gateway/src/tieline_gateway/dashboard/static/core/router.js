// Where we are: the path below /dashboard, and the query. Both are in the address, so everything can be linked to.
import { store, useStore } from "./store.js";

const BASE = "/dashboard";

const read = () => ({ path: location.pathname.slice(BASE.length) || "/", query: new URLSearchParams(location.search) });

export const place = store(read());
addEventListener("popstate", () => place.set(read()));

/** The address of a page; values of the query that are empty are left out. */
export function address(path, query = {}) {
  const told = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined && value !== null);
  const behind = new URLSearchParams(told).toString();
  return BASE + path + (behind ? `?${behind}` : "");
}

/** One segment of a path. */
export const segment = encodeURIComponent;

/** Go to an address; `replace` leaves no step back. */
export function go(to, { replace = false } = {}) {
  if (replace) history.replaceState(null, "", to);
  else history.pushState(null, "", to);
  place.set(read());
  if (!replace) scrollTo(0, 0);
}

/** The query of this place, and a function that changes parts of it without a step back. */
export function useQuery() {
  const { path, query } = useStore(place);
  const change = (parts) => {
    const now = place.get(); // several fields may have changed since this was drawn, or the page may be another one
    if (now.path === path) go(address(path, { ...Object.fromEntries(now.query), ...parts }), { replace: true });
  };
  return [(name) => query.get(name) ?? "", change];
}

/** Let ordinary links change the place, without loading the page again. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href]");
    const ours = link?.origin === location.origin && link.pathname.startsWith(`${BASE}/`) && !link.target;
    if (!ours || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey)
      return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

/** Find the page of a path: `[pattern, page]` pairs, where `:name` is one segment and `*name` the rest. */
export function match(routes, path) {
  for (const [pattern, page] of routes) {
    const names = [];
    const shape = pattern.replace(/[:*](\w+)/g, (all, name) => {
      names.push(name);
      return all[0] === "*" ? "(.+)" : "([^/]+)";
    });
    const found = new RegExp(`^${shape}/?$`).exec(path);
    if (found) return { page, pattern, names: decoded(names, found) };
  }
  return null;
}

function decoded(names, found) {
  const told = {};
  names.forEach((name, at) => {
    try {
      told[name] = decodeURIComponent(found[at + 1]);
    } catch {
      told[name] = found[at + 1];
    }
  });
  return told;
}
