/** What grpc-js says around the reason. */
const AROUND = /^No connection established\. Last error: (?:Error(?: \[\w+\])?: )?|\.? Resolution note: .*$/gs;
const OPENSSL = /^[0-9A-F]+:error:[0-9A-F]+:SSL routines:[^:]*:([^:]+):.*$/s;
const ADVICE: readonly (readonly [pattern: RegExp, advice: string])[] = [
  [/altnames|ALTNAME/, "its certificate is for other names: put one of them into the URL"],
  [
    /verify the first certificate|self-signed certificate|issuer certificate/,
    "its certificate is not trusted here: give its authority as ?ca=FILE",
  ],
  [/certificate required/, "it wants a certificate of yours: give ?cert=FILE&key=FILE"],
  [/wrong version number|packet length too long/, "it serves without TLS: use grpc://"],
];
const PLAIN_ADVICE: typeof ADVICE = [
  [/Protocol error/, "that is a port for HTTP: `tieline up` says on which one it serves gRPC"],
  [/Failed to connect|ECONNRESET|connection dropped/i, "if it serves with TLS, use grpcs://"],
];
const USUAL = "start one with `tieline up`, or check TIELINE_URL";

/** Why a gateway cannot be reached, in one line; grpc-js and OpenSSL say it over several. */
export function reasonOf(details: string): string {
  return details.replace(AROUND, "").replace(OPENSSL, "TLS: $1").replace(/\s+/g, " ").trim();
}

/** What to do; only words tell apart what somebody else at the port may be. */
export function adviceFor(tls: boolean, reason: string): string {
  const known = tls ? ADVICE : PLAIN_ADVICE;
  return known.find(([pattern]) => pattern.test(reason))?.[1] ?? USUAL;
}
