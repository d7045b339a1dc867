// A value that several parts of the page show.
import { useEffect, useState } from "./view.js";

/** Make a store: `get`, `set` and `watch`, which returns what ends the watching. */
export function store(value) {
  const watching = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const told of [...watching]) told(value);
    },
    watch(told) {
      watching.add(told);
      return () => watching.delete(told);
    },
  };
}

/** The value of a store; the component is drawn again when it changes. */
export function useStore(of) {
  const [value, setValue] = useState(of.get());
  useEffect(() => {
    setValue(of.get());
    return of.watch(setValue);
  }, [of]);
  return value;
}
