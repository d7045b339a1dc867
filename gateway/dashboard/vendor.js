// Copies the files of other people that the dashboard needs, with their licences, to a folder: node vendor.js FOLDER
// Browsers know no names of packages, so what one of the files imports from another is given its address.
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

const FILES = {
  "preact.js": "preact/dist/preact.mjs",
  "hooks.js": "preact/hooks/dist/hooks.mjs",
  "htm.js": "htm/dist/htm.mjs",
  "uplot.js": "uplot/dist/uPlot.esm.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
  "LICENSE.preact": "preact/LICENSE",
  "LICENSE.htm": "htm/LICENSE",
  "LICENSE.uplot": "uplot/LICENSE",
};

const addressed = (text) =>
  text.replace(/(from\s*)"preact"/g, '$1"./preact.js"').replace(/\n?\/\/# sourceMappingURL=.*\s*$/, "\n");

const folder = process.argv[2];
await rm(folder, { recursive: true, force: true });
await mkdir(folder, { recursive: true });
for (const [name, from] of Object.entries(FILES)) {
  const text = await readFile(join(import.meta.dirname, "node_modules", from), "utf8");
  const bare = addressed(text).match(/(?:^|[;}])(?:import|export)[^;"]*"([^"./][^"]*)"/m);
  if (name.endsWith(".js") && bare) throw new Error(`${from} imports ${bare[1]}, which has no address here`);
  await writeFile(join(folder, name), name.endsWith(".js") ? addressed(text) : text);
}
