import { execFileSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { repositoryPython } from "./server.js";

const MAKE = `
import sys, pathlib, trustme
folder = pathlib.Path(sys.argv[1])
authority = trustme.CA()
authority.cert_pem.write_to_path(str(folder / "authority.pem"))
server = authority.issue_cert("localhost", "127.0.0.1")
server.private_key_pem.write_to_path(str(folder / "server.key"))
server.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
`;

/** A folder with authority.pem, server.pem and server.key, made for this run. */
export function makeCertificates(): string {
  const folder = mkdtempSync(join(tmpdir(), "tieline-pem-"));
  execFileSync(repositoryPython(), ["-c", MAKE, folder]);
  return folder;
}
