import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { test } from "node:test";
import { InvalidArgumentError } from "../../src/index.js";
import { parseTargets, readToken } from "../../src/transports/grpcUrl.js";
import { newFile } from "../support/folder.js";

test("addresses of gateways", () => {
  for (const [url, addresses] of [
    ["grpc://a", ["a:50051"]],
    ["grpc://a:1,b:2", ["a:1", "b:2"]],
    ["grpc://A:1,b,[::1]:3", ["a:1", "b:50051", "[::1]:3"]],
    ["grpcs://:secret@gateway-1.shop:1,gateway-2.shop:1", ["gateway-1.shop:1", "gateway-2.shop:1"]],
  ] as const) {
    assert.deepEqual(parseTargets(url).addresses, addresses);
  }
});

test("what lets one in is the same for all of them", () => {
  const { token, tls, files } = parseTargets("grpcs://user:a%2Fb@c@d:1,e:2?ca=/f.pem");
  assert.deepEqual([token, tls, files], ["a/b@c", true, { ca: "/f.pem" }]);
});

test("a token may be in a file", () => {
  const file = newFile();
  const url = `?token_file=${encodeURIComponent(file)}`;
  assert.throws(() => parseTargets(`grpc://a${url}`), /cannot read the token in/);
  writeFileSync(file, "secret \nsecond line\n");
  assert.equal(parseTargets(`grpc://a,b${url}`).tokenFile, file);
  assert.equal(readToken(file), "secret");
  assert.throws(
    () => parseTargets(`grpcs://:t@a${url}`),
    /there is a token in the gateway's address, and a token_file/,
  );
});

test("addresses that are none", () => {
  const wrong = [
    "grpc://",
    "grpc://a:1,",
    "grpc://,a",
    "grpc://a:1,b:x",
    "grpc://a b",
    "grpc://a:65536",
    "grpc://[::1",
  ];
  for (const url of [...wrong, "grpc://a:1?ca=f", "grpcs://:secret@a:1,?ca=f"]) {
    assert.throws(
      () => parseTargets(url),
      (error) =>
        error instanceof InvalidArgumentError &&
        error.message.includes("is no gateway's address") &&
        !error.message.includes("secret"),
      url,
    );
  }
});

test("an option that nobody knows is named", () => {
  for (const scheme of ["grpc", "grpcs"]) {
    assert.throws(
      () => parseTargets(`${scheme}://:secret@a?ca_file=authority.pem`),
      /^InvalidArgumentError.*"ca_file" is no option of a gateway's address; ca, cert, key and token_file are/,
    );
  }
});
