import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = mkdtempSync(join(tmpdir(), "tieline-node-"));
let files = 0;

process.once("exit", () => rmSync(folder, { recursive: true, force: true }));

/** A path that no other test has; it is gone when the tests are over. */
export function newFile(): string {
  return join(folder, `file-${files++}`);
}
