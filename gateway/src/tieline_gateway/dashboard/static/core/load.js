// Data of the gateway in a component: asked for when it is shown, again every so often, and when the gateway returns.
import { get } from "./api.js";
import { connection } from "./connection.js";
import { useStore } from "./store.js";
import { useCallback, useEffect, useRef, useState } from "./view.js";

/**
 * Load `path` with `query`; null as the path loads nothing. `every` (s) asks again while the page is looked at.
 * What another query brought stays until the answer has come, so that nothing jumps.
 */
export function useLoad(path, query = {}, { every = 0 } = {}) {
  const [told, setTold] = useState({ data: null, problem: null, of: "", path: "" });
  const { returns } = useStore(connection);
  const [asked, setAsked] = useState(0);
  const of = path && `${path}?${JSON.stringify(query)}`;
  const latest = useRef(of);
  latest.current = of;

  const load = useCallback(
    async (signal) => {
      if (!path) return;
      try {
        const data = await get(path, query, signal);
        if (latest.current === of) setTold({ data, problem: null, of, path });
      } catch (problem) {
        if (problem.name === "AbortError" || latest.current !== of) return;
        setTold((before) => ({ data: before.of === of ? before.data : null, problem, of, path }));
      }
    },
    [of],
  );

  useEffect(() => {
    const ending = new AbortController();
    let timer;
    const again = async () => {
      if (!document.hidden) await load(ending.signal);
      if (every && !ending.signal.aborted) timer = setTimeout(again, every * 1000);
    };
    load(ending.signal).then(() => {
      if (every && !ending.signal.aborted) timer = setTimeout(again, every * 1000);
    });
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [load, every, returns, asked]);

  return {
    data: told.path === path ? told.data : null,
    problem: told.of === of ? told.problem : null,
    loading: Boolean(path) && told.of !== of,
    reload: () => setAsked((count) => count + 1),
  };
}
