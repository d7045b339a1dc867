import { DURATION_BOUNDS_NS } from "../contract/contract.js";

/** Upper bounds in milliseconds; what is longer than the last one is counted behind it. */
export const BOUNDS: readonly number[] = DURATION_BOUNDS_NS.map((bound) => bound / 1e6);

const BUCKETS = BOUNDS.length + 1;

/** Durations as they come: to be told of each, and read as a `Distribution`. */
export class Histogram {
  readonly #buckets = new Array<number>(BUCKETS).fill(0);
  #sum = 0;
  #max = 0;

  /** One more, in milliseconds. */
  record(ms: number): void {
    const at = bucketOf(ms);
    this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
    this.#sum += ms;
    if (ms > this.#max) this.#max = ms;
  }

  /** All of them so far. */
  read(): Distribution {
    return new Distribution(this.#sum, this.#max, [...this.#buckets]);
  }
}

/** The first bound that is not shorter. */
function bucketOf(ms: number): number {
  let [low, high] = [0, BOUNDS.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((BOUNDS[middle] as number) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Durations in milliseconds, and how they are distributed: exact sums, and percentiles to about a tenth. */
export class Distribution {
  /** How many. */
  readonly count: number;
  /** Of all of them. */
  readonly sum: number;
  /** The longest. */
  readonly max: number;
  /** How many of them are in each of the ranges that end at `BOUNDS`, and beyond the last bound. */
  readonly buckets: readonly number[];

  constructor(sum: number, max: number, buckets: readonly number[]) {
    this.count = buckets.reduce((all, held) => all + held, 0);
    this.sum = sum;
    this.max = max;
    this.buckets = Object.freeze(buckets);
    Object.freeze(this);
  }

  /** 0 for none. */
  get average(): number {
    return this.count === 0 ? 0 : this.sum / this.count;
  }

  /** The median: half of them are not longer. */
  get p50(): number {
    return this.quantile(0.5);
  }

  /** 95 % of them are not longer. */
  get p95(): number {
    return this.quantile(0.95);
  }

  /** 99 % of them are not longer. */
  get p99(): number {
    return this.quantile(0.99);
  }

  /** What this share of them, from 0 to 1, is not longer than; 0 for none. */
  quantile(share: number): number {
    const wanted = share * this.count;
    let before = 0;
    for (const [at, held] of this.buckets.entries()) {
      if (held > 0 && before + held >= wanted) {
        const low = at === 0 ? 0 : (BOUNDS[at - 1] as number);
        const high = BOUNDS[at] ?? this.max;
        return Math.min(this.max, low + ((high - low) * (wanted - before)) / held);
      }
      before += held;
    }
    return 0;
  }

  /** With so many more that took no time. */
  withZeros(count: number): Distribution {
    const [first = 0, ...rest] = this.buckets;
    return new Distribution(this.sum, this.max, [first + count, ...rest]);
  }

  /** How many are not longer than each of `BOUNDS`, and how many there are. */
  cumulative(): number[] {
    let below = 0;
    return this.buckets.map((held) => {
      below += held;
      return below;
    });
  }
}

/** No durations. */
export const NOTHING = new Distribution(0, 0, new Array<number>(BUCKETS).fill(0));

/** All of them as one. */
export function joined(parts: Iterable<Distribution>): Distribution {
  const found = [...parts].filter(({ count }) => count > 0);
  if (found.length < 2) return found[0] ?? NOTHING;
  const buckets = NOTHING.buckets.map((_, at) => found.reduce((all, part) => all + (part.buckets[at] ?? 0), 0));
  const sum = found.reduce((all, part) => all + part.sum, 0);
  return new Distribution(sum, Math.max(...found.map(({ max }) => max)), buckets);
}
