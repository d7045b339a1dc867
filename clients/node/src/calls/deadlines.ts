/** Something that waits until a moment. */
export interface Waiting {
  /** Nothing is waited for any more. */
  readonly done: boolean;
  /** Its moment has come and it is not done. */
  due(now: number): void;
}

interface Entry {
  readonly moment: number;
  readonly waiting: Waiting;
}

const SPARE = 256;

/**
 * One heap of deadlines for everything an event system waits for, so that no call needs a timer of its own.
 *
 * Moments are milliseconds of the local monotonic clock. What is done stays in the heap until its moment comes or until
 * it makes up half of the heap.
 */
export class Deadlines {
  #heap: Entry[] = [];
  #finished = 0;

  /** How many entries the heap holds, done ones included. */
  get size(): number {
    return this.#heap.length;
  }

  /** Waits until this moment; true if it is now the earliest. */
  add(moment: number, waiting: Waiting): boolean {
    const heap = this.#heap;
    heap.push({ moment, waiting });
    return rise(heap, heap.length - 1) === 0;
  }

  /** Says that somebody in the heap is done before the moment came. */
  finished(): void {
    this.#finished += 1;
    if (this.#finished > SPARE && this.#finished * 2 > this.#heap.length) {
      this.#heap = this.#heap.filter((entry) => !entry.waiting.done);
      this.#heap.sort((a, b) => a.moment - b.moment);
      this.#finished = 0;
    }
  }

  /** Tells everyone whose moment has come. */
  advance(now: number): void {
    for (let first = this.#heap[0]; first !== undefined && first.moment <= now; first = this.#heap[0]) {
      pop(this.#heap);
      if (first.waiting.done) this.#finished = Math.max(0, this.#finished - 1);
      else first.waiting.due(now);
    }
  }

  /** The earliest moment; undefined when nobody waits. */
  next(): number | undefined {
    return this.#heap[0]?.moment;
  }
}

function rise(heap: Entry[], from: number): number {
  const entry = heap[from] as Entry;
  let at = from;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent] as Entry;
    if (above.moment <= entry.moment) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = entry;
  return at;
}

function pop(heap: Entry[]): void {
  const last = heap.pop() as Entry;
  const size = heap.length;
  if (size === 0) return;
  let at = 0;
  for (let child = 1; child < size; child = 2 * at + 1) {
    const right = heap[child + 1];
    if (right !== undefined && right.moment < (heap[child] as Entry).moment) child += 1;
    const least = heap[child] as Entry;
    if (least.moment >= last.moment) break;
    heap[at] = least;
    at = child;
  }
  heap[at] = last;
}
