// Calls the Users class of @absmach/magistrala-sdk: one call per line of standard input, one answer per line of output.
//
//     {"call": "Create", "args": [...]}  ->  {"result": ..., "error": null, "requests": [{"method", "path", "status"}]}
//
// `error` is the error that the call threw. The first line of output lists the class's methods. Usage: node users.js URL
"use strict";
const { createInterface } = require("node:readline");
const { default: SDK } = require("@absmach/magistrala-sdk");

const users = new SDK({ usersUrl: process.argv[2], clientsUrl: process.argv[2] }).Users;
const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(users)).filter((name) => name !== "constructor");

let requests = [];
const realFetch = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const response = await realFetch(url, options);
  const { pathname, search } = new URL(url);
  requests.push({ method: options.method, path: pathname + search, status: response.status });
  return response;
};

async function answer(line) {
  const { call, args } = JSON.parse(line);
  requests = [];
  try {
    return { result: (await users[call](...args)) ?? null, error: null, requests };
  } catch (error) {
    return { result: null, error: error instanceof Error ? { message: String(error) } : error, requests };
  }
}

async function main() {
  console.log(JSON.stringify({ methods }));
  for await (const line of createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await answer(line)));
  }
}

main();
