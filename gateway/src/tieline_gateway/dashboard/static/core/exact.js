// JSON whose whole numbers stay what they are: beyond 2^53 a number of JavaScript would be another one.

const LONG = /\d{16}/;

/** A value of JSON; JSON.stringify writes large whole numbers as they came, where the browser can do that. */
export function parsed(text) {
  return LONG.test(text) && JSON.rawJSON ? JSON.parse(text, exactly) : JSON.parse(text);
}

function exactly(_name, value, context) {
  const large = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "");
  return large ? JSON.rawJSON(context.source) : value;
}
