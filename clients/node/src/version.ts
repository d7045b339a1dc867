/** What this client calls itself wherever it says who it is. */
export const CLIENT = "node/0.1.0";
