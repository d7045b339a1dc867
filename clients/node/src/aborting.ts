/** What hears of one signal, and those it tells. */
interface Hearing {
  readonly listener: () => void;
  readonly told: Set<() => void>;
}

const hearings = new WeakMap<AbortSignal, Hearing>();

/** Has something told when a signal is aborted; returns how to take that back. One listener serves all calls of a signal. */
export function onAbort(signal: AbortSignal, tell: () => void): () => void {
  const own = () => tell(); // each its own, even if one function is given twice
  hearingOf(signal).told.add(own);
  return () => {
    const hearing = hearings.get(signal);
    if (!hearing?.told.delete(own) || hearing.told.size > 0) return;
    signal.removeEventListener("abort", hearing.listener);
    hearings.delete(signal);
  };
}

function hearingOf(signal: AbortSignal): Hearing {
  const known = hearings.get(signal);
  if (known !== undefined) return known;
  const told = new Set<() => void>();
  const listener = () => {
    hearings.delete(signal);
    for (const tell of told) tell();
  };
  signal.addEventListener("abort", listener, { once: true });
  const hearing = { listener, told };
  hearings.set(signal, hearing);
  return hearing;
}
