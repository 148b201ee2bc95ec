// Checks a run's bundle where it is read: hashes with WebCrypto, nothing is sent anywhere.
// RFC 9162, 2.1.3.2 (inclusion), https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint.

const subtle = globalThis.crypto?.subtle;
const utf8 = new TextEncoder();

class Refused extends Error {}

const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const hex = (data) => Array.from(data, (b) => b.toString(16).padStart(2, "0")).join("");
const unhex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const sha256 = async (data) => new Uint8Array(await subtle.digest("SHA-256", data));
const same = (a, b) => a.length === b.length && a.every((v, i) => v === b[i]);

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) { out.set(part, at); at += part.length; }
  return out;
}

const leafHash = (data) => sha256(joined(Uint8Array.of(0), data));
const nodeHash = (left, right) => sha256(joined(Uint8Array.of(1), left, right));

/** The root that a leaf at `index` of a tree of `size` leaves leads to by `proof`. BigInt: sizes may be beyond 32 bits. */
export async function rootOf(leaf, index, size, proof) {
  let at = BigInt(index), last = BigInt(size) - 1n, hash = leaf;
  if (at < 0n || at > last) throw new Refused(`position ${index} is not among the ${size} events of the checkpoint`);
  for (const sibling of proof) {
    if (last === 0n) throw new Refused("a proof is longer than the tree is high");
    if (at & 1n || at === last) {
      hash = await nodeHash(sibling, hash);
      while (!(at & 1n) && at) { at >>= 1n; last >>= 1n; }
    } else {
      hash = await nodeHash(hash, sibling);
    }
    at >>= 1n; last >>= 1n;
  }
  if (last) throw new Refused("a proof is shorter than the tree is high");
  return hash;
}

/** NAME+ID+BASE64 of an Ed25519 key. */
async function readKey(text) {
  const match = /^([^+\s]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text);
  if (!match) throw new Refused("the key is not of the form NAME+ID+BASE64");
  const raw = bytes(match[3]);
  const id = (await sha256(joined(utf8.encode(`${match[1]}\n`), raw))).slice(0, 4);
  if (raw.length !== 33 || raw[0] !== 1 || hex(id) !== match[2]) throw new Refused("the key's id is not that of the key");
  return { name: match[1], id, public: raw.slice(1) };
}

/** The checkpoint in a note, and whether its signature was checked (null: this browser knows no Ed25519). */
async function openNote(note, key) {
  const cut = note.lastIndexOf("\n\n");
  if (cut < 0) throw new Refused("the checkpoint is not a signed note");
  const text = note.slice(0, cut + 1);
  const [origin, size, root, ...rest] = text.split("\n");
  if (origin !== key.name || rest.length !== 1) throw new Refused("the checkpoint is of another log");
  for (const line of note.slice(cut + 2).split("\n")) {
    const match = /^\u2014 ([^+\s]+) (\S+)$/.exec(line);
    if (!match || match[1] !== key.name) continue;
    const raw = bytes(match[2]);
    if (!same(raw.slice(0, 4), key.id)) continue;
    return { size, root: bytes(root), signed: await signedBy(key.public, raw.slice(4), utf8.encode(text)) };
  }
  throw new Refused("the checkpoint is not signed by the log's key");
}

async function signedBy(key, signature, message) {
  let imported;
  try {
    imported = await subtle.importKey("raw", key, { name: "Ed25519" }, false, ["verify"]);
  } catch {
    return null;
  }
  if (!(await subtle.verify({ name: "Ed25519" }, imported, signature, message))) {
    throw new Refused("the signature under the checkpoint is false");
  }
  return true;
}

/** The commitment of a body: HMAC-SHA256(salt, body). */
async function bodyOf(body) {
  const key = await subtle.importKey("raw", unhex(body.salt), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return hex(new Uint8Array(await subtle.sign("HMAC", key, utf8.encode(body.data))));
}

/** Everything that is proved of `bundle`. Throws Refused with the first thing that is not. */
export async function verify(bundle, known = "") {
  if (known && known.trim() !== bundle.key) throw new Refused("the bundle was signed by another key than the one you know");
  const key = await readKey(bundle.key);
  const head = await openNote(bundle.checkpoint, key);
  let bodies = 0;
  for (const event of bundle.events) {
    const root = await rootOf(await leafHash(utf8.encode(event.header)), event.position, head.size, event.proof.map(bytes));
    if (!same(root, head.root)) throw new Refused(`the event at position ${event.position} is not in the tree that was signed`);
    const header = JSON.parse(event.header);
    if (header.run !== bundle.run) throw new Refused(`the event at position ${event.position} is of another run`);
    if (event.body) {
      if ((await bodyOf(event.body)) !== header.body) throw new Refused(`the text at position ${event.position} is not the one that was recorded`);
      bodies += 1;
    }
  }
  return { events: bundle.events.length, bodies, size: head.size, root: hex(head.root), signed: head.signed, known: Boolean(known) };
}

// -- the page

function line(list, tone, text) {
  const item = document.createElement("li");
  item.className = tone;
  item.textContent = text;
  list.append(item);
}

async function show(out, source, known) {
  const list = document.createElement("ul");
  list.className = "proved";
  out.replaceChildren(list);
  if (!subtle) {
    line(list, "wait", "This page was not opened over https, so the browser offers no cryptography here. Check the file with affidavit-verify instead.");
    return;
  }
  try {
    const found = await verify(await source(), known);
    line(list, "good", `${found.events} events of this run are in the signed log of ${found.size} events.`);
    line(list, "good", `${found.bodies} texts are the ones that were recorded, unchanged.`);
    if (found.signed) line(list, "good", "The log's head is signed by the log's key (Ed25519).");
    else line(list, "wait", "The signature was not checked: this browser knows no Ed25519. The offline verifier does.");
    if (found.known) line(list, "good", "The key is the one that you gave.");
    else line(list, "wait", "The key came with the file. Compare it with one that you had before: without that, whoever holds the server could have made both.");
    line(list, "plain", `Root ${found.root}`);
  } catch (error) {
    const said = error instanceof Refused ? error.message : `the file cannot be read (${error.message})`;
    line(list, "bad", `Not proved: ${said}.`);
  }
}

for (const box of document.querySelectorAll("[data-verify]")) {
  const out = box.querySelector(".outcome");
  const known = box.querySelector("[name=key]");
  box.hidden = false;
  box.querySelector("button")?.addEventListener("click", async () => {
    const file = box.querySelector("[type=file]")?.files?.[0];
    const source = async () => {
      if (file) return JSON.parse(await file.text());
      const answer = await fetch(box.dataset.verify, {
        method: "POST",
        body: new URLSearchParams({ csrf: document.body.dataset.token }),
      });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return answer.json();
    };
    await show(out, source, known?.value ?? "");
  });
}
