// JSON Schemas in one line, and an example made of one.

const DEEPEST = 4;

function resolved(schema, root) {
  let found = schema;
  for (let times = 0; found?.$ref?.startsWith?.("#") && times < 9; times += 1) {
    found = found.$ref
      .slice(1)
      .split("/")
      .slice(1)
      .reduce((at, part) => at?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root);
  }
  return found ?? {};
}

const variants = (schema) =>
  schema.anyOf ??
  schema.oneOf ??
  (Array.isArray(schema.type) ? schema.type.map((type) => ({ ...schema, type })) : null);

/** What a schema allows, in one line: {id: integer, name?: string}. */
export function shape(schema, root = schema, depth = 0) {
  const told = resolved(schema, root);
  if (told.enum) return told.enum.map((each) => JSON.stringify(each)).join(" | ");
  if ("const" in told) return JSON.stringify(told.const);
  const several = variants(told);
  if (several) return several.map((each) => shape(each, root, depth + 1)).join(" | ");
  if (told.type === "array")
    return depth > DEEPEST ? "[…]" : `[${told.items ? shape(told.items, root, depth + 1) : "any"}]`;
  if (told.properties) return depth > DEEPEST ? "{…}" : fields(told, root, depth);
  return told.type ?? "any";
}

function fields(schema, root, depth) {
  const needed = new Set(schema.required);
  const told = Object.entries(schema.properties).map(
    ([name, of]) => `${name}${needed.has(name) ? "" : "?"}: ${shape(of, root, depth + 1)}`,
  );
  return `{${told.join(", ")}}`;
}

/** A payload that fits a schema, to be changed. */
export function example(schema, root = schema, depth = 0) {
  const told = resolved(schema, root);
  for (const given of [told.examples?.[0], told.default, told.const, told.enum?.[0]])
    if (given !== undefined) return given;
  const several = variants(told);
  if (several) return example(several[0], root, depth + 1);
  if (depth > DEEPEST) return null;
  if (told.type === "array")
    return [told.prefixItems?.[0] ?? told.items]
      .filter((item) => typeof item === "object")
      .map((item) => example(item, root, depth + 1));
  if (told.properties)
    return Object.fromEntries(
      Object.entries(told.properties).map(([name, of]) => [name, example(of, root, depth + 1)]),
    );
  return (
    { string: "text", integer: told.minimum ?? 1, number: told.minimum ?? 1.5, boolean: true, object: {} }[told.type] ??
    null
  );
}
