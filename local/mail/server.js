// The SES endpoint and its page of mails (aws-ses-v2-local): node server.js PORT [OWN_NAME [DIRECTORY]]
//
// aws-ses-v2-local trusts every client, so every web page could send mails and read the links in them. This server
// refuses the requests of other sites' pages. local/serving/other_sites.py has the same rule, and one test checks both.
"use strict";

const net = require("node:net");
const start = require("aws-ses-v2-local").default;
const { keepMails } = require("./kept_mails.js");

const ADDRESS = "127.0.0.1";
const HOST = /^(?:([a-z0-9._-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?$/;
const ANY_ADDRESS = ["0.0.0.0", "::"];
const OWN_SITE = ["same-origin", "none"];

function isLoopback(name) {
  const plain = name.replace(/\.$/, "");
  if (plain === "localhost" || plain.endsWith(".localhost")) return true;
  if (net.isIPv4(plain)) return plain.startsWith("127.");
  return net.isIPv6(plain) && new URL(`http://[${plain}]`).hostname === "[::1]";
}

function refusal(headers, ownName) {
  const host = (headers.host ?? "").toLowerCase();
  const found = HOST.exec(host);
  const name = found && (found[1] ?? found[2]);
  if (!name || !(isLoopback(name) || (name === ownName && !ANY_ADDRESS.includes(ownName)))) {
    return "the Host header does not name this machine";
  }
  if (headers.origin !== undefined && headers.origin.toLowerCase() !== `http://${host}`) {
    return "pages of another origin may not ask this port";
  }
  if (!OWN_SITE.includes((headers["sec-fetch-site"] ?? "none").toLowerCase())) {
    return "pages of another site may not ask this port: type its address instead";
  }
  return null;
}

async function main(port, ownName, directory) {
  keepMails(directory);
  const server = await start({ host: ADDRESS, port });
  if (!server.listening) throw new Error(`cannot listen on ${ADDRESS}:${port}`);
  const programs = server.listeners("request");
  server.removeAllListeners("request");
  server.on("request", (request, response) => {
    const reason = refusal(request.headers, ownName);
    if (reason === null) {
      for (const program of programs) program.call(server, request, response);
      return;
    }
    response.writeHead(403, { "content-type": "application/json", connection: "close" });
    response.end(JSON.stringify({ message: reason }));
  });
  console.log(`server running at http://${ADDRESS}:${server.address().port}`);
}

main(Number(process.argv[2]), (process.argv[3] ?? "").toLowerCase(), process.argv[4] ?? "").catch((error) => {
  console.error(error.message);
  process.exit(1);
});
