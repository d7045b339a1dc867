// Unpacks the Chromium of the npm package beside it, with the libraries and fonts that a bare machine lacks, and says as JSON where
// it is and which environment it needs. Unpacking happens once: `make setup` does it, before tests ask for it side by side.
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const folder = join(import.meta.dirname, "node_modules", ".unpacked");
mkdirSync(folder, { recursive: true });
process.env.TMPDIR = folder;
process.env.AWS_EXECUTION_ENV ??= "AWS_Lambda_nodejs20.x"; // what the package takes for a machine without libraries
const { default: chromium } = await import("@sparticuz/chromium");

const executable = await chromium.executablePath();
const fonts = join(folder, "fonts.conf");
if (!existsSync(fonts)) writeFileSync(fonts, `<fontconfig><dir>/usr/share/fonts</dir><dir>${folder}/fonts</dir><cachedir>${folder}/cache</cachedir></fontconfig>`);
const env = { LD_LIBRARY_PATH: join(folder, "al2023", "lib"), FONTCONFIG_FILE: fonts };
process.stdout.write(JSON.stringify({ executable, env }));
