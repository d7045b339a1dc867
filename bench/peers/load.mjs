// The load all Node peers are put under: the twin of load.py, figure for figure.

export const TOPIC = "bench.echo";
export const PAYLOAD = { id: 123, name: "abc", ok: true };
const LEVELS = [64, 512];

/**
 * Runs what the command line asks for: `serve URL` or `call URL SECONDS`.
 * `serve(url)` begins to echo; `connect(url)` returns `{ call(), close() }`, where `call` sends PAYLOAD and gets the echo.
 */
export async function play({ serve, connect, measure: own }) {
  const [role, url, seconds] = process.argv.slice(2);
  if (role === "serve") {
    await serve(url);
    console.log("READY");
  } else if (role === "call" && own) {
    console.log(`RESULT ${JSON.stringify(await own(url))}`);
  } else if (role === "call") {
    const { call, close } = await connect(url);
    console.log(`RESULT ${JSON.stringify(await measure(call, Number(seconds) * 1000))}`);
    await close();
  } else {
    console.error("usage: serve URL | call URL SECONDS");
    process.exitCode = 2;
  }
}

async function measure(call, ms) {
  const echoed = await call();
  if (JSON.stringify(echoed) !== JSON.stringify(PAYLOAD)) throw new Error(`a wrong echo: ${JSON.stringify(echoed)}`);
  const figures = await sequential(call, ms);
  for (const level of LEVELS) {
    await rate(call, level, ms / 4);
    figures[`c${level}`] = await rate(call, level, ms);
  }
  return figures;
}

/** Median, 99th percentile and mean of a call's time, in microseconds, with one call in flight. */
async function sequential(call, ms) {
  await times(call, ms / 4);
  const taken = (await times(call, ms)).sort((a, b) => a - b);
  const at = (share) => taken[Math.floor(taken.length * share)] * 1000;
  return { p50: at(0.5), p99: at(0.99), mean: (taken.reduce((sum, one) => sum + one, 0) / taken.length) * 1000 };
}

/** Calls per second with that many in flight: as many loops, each making one call after the other. */
async function rate(call, inFlight, ms) {
  const begun = performance.now();
  const loop = async () => {
    let count = 0;
    for (; performance.now() < begun + ms; count++) await call();
    return count;
  };
  const counts = await Promise.all(Array.from({ length: inFlight }, loop));
  return counts.reduce((sum, one) => sum + one, 0) / ((performance.now() - begun) / 1000);
}

async function times(call, ms) {
  const taken = [];
  const end = performance.now() + ms;
  for (let now = performance.now(); now < end; ) {
    await call();
    const before = now;
    now = performance.now();
    taken.push(now - before);
  }
  return taken;
}
