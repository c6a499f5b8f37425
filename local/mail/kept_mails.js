// Keeps the mails of the SES endpoint: in memory, and in a file if there is a directory for it.
//
// The endpoint writes a mail to the disk before it answers the sender. It keeps the newest MOST_MAILS, and at most
// MOST_BYTES of them. The file has a line of JSON for each mail.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const store = require("aws-ses-v2-local/dist/store");

const MOST_MAILS = 2000;
const MOST_BYTES = 64 * 1024 * 1024;

// Make the program keep its mails in `directory`, or only in memory if it is empty.
function keepMails(directory) {
  const file = directory ? new MailFile(directory) : null;
  const lines = file ? file.read() : [];
  const accept = store.saveEmail;
  const removeAll = store.clearStore;
  const mails = () => store.getStoreReadonly().emails;

  mails().push(...lines.map((line) => JSON.parse(line)));
  const sizes = lines.map(size);

  store.saveEmail = (mail) => {
    const line = JSON.stringify(mail);
    if (file) file.append(line);
    accept(mail);
    sizes.push(size(line));
    const surplus = surplusOf(sizes);
    sizes.splice(0, surplus);
    mails().splice(0, surplus);
    if (file && file.isTooLarge()) file.replace(mails().map((each) => JSON.stringify(each)));
  };
  store.clearStore = () => {
    if (file) file.replace([]);
    sizes.length = 0;
    removeAll();
  };
}

// Return how many of the oldest mails must go. The newest one always stays.
function surplusOf(sizes) {
  let surplus = Math.max(0, sizes.length - MOST_MAILS);
  let bytes = sum(sizes.slice(surplus));
  while (bytes > MOST_BYTES && surplus < sizes.length - 1) bytes -= sizes[surplus++];
  return surplus;
}

class MailFile {
  constructor(directory) {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    this.directory = directory;
    this.path = path.join(directory, "mails.ndjson");
  }

  // Return the lines of the mails to keep, and remove all others from the file.
  read() {
    const text = fs.existsSync(this.path) ? fs.readFileSync(this.path, "utf8") : "";
    const found = text.split("\n").filter(isMail);
    const lines = found.slice(surplusOf(found.map(size)));
    this.replace(lines);
    return lines;
  }

  append(line) {
    try {
      fs.writeFileSync(this.descriptor, `${line}\n`);
      fs.fsyncSync(this.descriptor);
    } catch (error) {
      // The file may end with half a line now, so nothing may follow. The next start removes it.
      console.error(`a mail cannot be kept: ${error.message}`);
      process.exit(1);
    }
    this.lines += 1;
    this.bytes += size(line);
  }

  isTooLarge() {
    return this.lines > 2 * MOST_MAILS || this.bytes > 2 * MOST_BYTES;
  }

  replace(lines) {
    const fresh = `${this.path}.new`;
    const descriptor = fs.openSync(fresh, "w", 0o600);
    fs.writeFileSync(descriptor, lines.map((line) => `${line}\n`).join(""));
    fs.fsyncSync(descriptor);
    fs.renameSync(fresh, this.path);
    const directory = fs.openSync(this.directory, "r");
    fs.fsyncSync(directory); // otherwise a power cut may restore the old file, without later mails
    fs.closeSync(directory);
    if (this.descriptor !== undefined) fs.closeSync(this.descriptor);
    this.descriptor = descriptor;
    this.lines = lines.length;
    this.bytes = sum(lines.map(size));
  }
}

function size(line) {
  return Buffer.byteLength(line);
}

function sum(sizes) {
  return sizes.reduce((total, each) => total + each, 0);
}

// If the machine fails during a write, the last line is incomplete. The sender of that mail got no answer.
function isMail(line) {
  try {
    return typeof JSON.parse(line).messageId === "string";
  } catch {
    return false;
  }
}

module.exports = { keepMails };
