// Keeps the mails that the SES endpoint accepted: in its memory and, where a directory is given, in a file there.
//
// A mail is on the disk before its sender is told that it was accepted. The newest MOST_MAILS are kept, and no more
// than MOST_BYTES of them. The file has a line of JSON for each mail.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const store = require("aws-ses-v2-local/dist/store");

const MOST_MAILS = 2000;
const MOST_BYTES = 64 * 1024 * 1024;

// Make the program keep its mails; `directory` is where, empty for its memory alone.
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

// How many of the oldest are to go; the newest always stays.
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

  // The lines of the mails that may be kept; the file holds these alone from now on.
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
      // Half a line may be there, after which no other may come. The next start removes it.
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
    fs.fsyncSync(directory); // else a power cut may bring the old file back, without what comes after this
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

// The last line is half where the machine went down while it was written: that mail was not accepted.
function isMail(line) {
  try {
    return typeof JSON.parse(line).messageId === "string";
  } catch {
    return false;
  }
}

module.exports = { keepMails };
