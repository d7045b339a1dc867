const LONE = /\p{Surrogate}/u;
const EACH_LONE = /\p{Surrogate}/gu;
const HIGH = /[\ud800-\udbff]$/;

/** Whether it is text that UTF-8 can say. */
export function isText(value: unknown): value is string {
  return typeof value === "string" && !LONE.test(value);
}

/** Text that UTF-8 can say: `most` letters of it at most, never half of a pair, and a mark for each half that was alone. */
export function wellFormed(text: string, most = Infinity): string {
  const cut = text.length > most ? text.slice(0, most).replace(HIGH, "") : text;
  return cut.replace(EACH_LONE, "\ufffd");
}
