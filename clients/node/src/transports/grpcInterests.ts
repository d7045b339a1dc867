import type { Register, Interest as WireInterest, Route as WireRoute } from "../contract/gateway.js";
import { type Interest, Route } from "../transport.js";

const ROUTES: ReadonlySet<number> = new Set(Object.values(Route));

/** Item that asks the gateway for what comes by these interests. */
export function registerOf(interests: readonly Interest[]): { $case: "register"; value: Register } {
  return { $case: "register", value: named(interests) };
}

/** Item that gives them up. */
export function unregisterOf(interests: readonly Interest[]): { $case: "unregister"; value: Register } {
  return { $case: "unregister", value: named(interests) };
}

/** Whether this client knows the route. */
export function isOurs(interest: WireInterest): interest is WireInterest & Interest {
  return ROUTES.has(interest.route);
}

/** The interests that the others, by their keys, do not have. */
export function without(some: ReadonlyMap<string, Interest>, others: ReadonlyMap<string, Interest>): Interest[] {
  return [...some].filter(([key]) => !others.has(key)).map(([, interest]) => interest);
}

function named(interests: readonly Interest[]): Register {
  return { ref: 0, interests: interests.map((interest) => ({ ...interest, route: interest.route as WireRoute })) };
}
