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
for name, place in (("server", ("localhost", "127.0.0.1")), ("other", ("other.test",))):
    made = authority.issue_cert(*place)
    made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
    made.cert_chain_pems[0].write_to_path(str(folder / f"{name}.pem"))
`;

/** A folder with authority.pem, the server's and another's certificate and key, made for this run. */
export function makeCertificates(): string {
  const folder = mkdtempSync(join(tmpdir(), "tieline-pem-"));
  execFileSync(repositoryPython(), ["-c", MAKE, folder]);
  return folder;
}
