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
  let last = -1;
  const story = [];
  for (const event of bundle.events) {
    if (!(event.position > last)) throw new Refused("the events are not in the order of the log");
    last = event.position;
    const root = await rootOf(await leafHash(utf8.encode(event.header)), event.position, head.size, event.proof.map(bytes));
    if (!same(root, head.root)) throw new Refused(`the event at position ${event.position} is not in the tree that was signed`);
    const header = JSON.parse(event.header);
    if (header.run !== bundle.run) throw new Refused(`the event at position ${event.position} is of another run`);
    let said = null;
    if (event.body) {
      if ((await bodyOf(event.body)) !== header.body) throw new Refused(`the text at position ${event.position} is not the one that was recorded`);
      bodies += 1;
      said = JSON.parse(event.body.data);
    }
    story.push({ header, said });
  }
  if (story[0]?.header.kind !== "run.started") throw new Refused("the file does not hold the beginning of the run");
  return { run: bundle.run, view: bundle.view, story, first: bundle.events[0].position, last, events: bundle.events.length, bodies, size: head.size, root: hex(head.root), signed: head.signed, known: Boolean(known) };
}

// -- the page

/** Text of others: what is invisible or turns the direction of writing around is shown as what it is. */
const shown = (text) => String(text).replace(
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff]/g,
  (c) => `\u27e8U+${c.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`,
);

function add(parent, name, text, tone = "") {
  const element = document.createElement(name);
  if (tone) element.className = tone;
  element.textContent = text;
  parent.append(element);
  return element;
}

/** What was proved: a claim, and what stands behind it in plain words. */
function proof(list, tone, claim, because) {
  const item = add(list, "li", "", tone);
  add(item, "b", claim);
  if (because) add(item, "p", because, "small");
}

/** Which run it is, in its own words: only what was verified, and only of this bundle. */
function named(out, found) {
  const at = (kind) => found.story.find(({ header }) => header.kind === kind);
  const started = at("run.started"), given = at("answer.released"), ended = at("run.finished");
  const when = (event) => new Date(event.header.at / 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  const facts = [["Run", found.run], ["Begun", when(started)]];
  const asked = started.said ?? {};
  if (asked.principal) facts.push(["Asked by", asked.principal]);
  if (asked.question) facts.push(["Question", asked.question]);
  if (given?.said) facts.push(["Given", given.said.answer || given.said.refusal?.message || given.said.status]);
  if (ended) facts.push(["Ended", `${when(ended)}: ${ended.header.facts.status}`]);
  const list = add(out, "dl", "", "facts");
  for (const [name, value] of facts) {
    const pair = add(list, "div", "");
    add(pair, "dt", name);
    const told = add(pair, "dd", "");
    add(told, "bdi", shown(value));
  }
}

async function show(out, source, known) {
  out.replaceChildren();
  const list = document.createElement("ul");
  list.className = "proved";
  if (!subtle) {
    out.append(list);
    proof(list, "wait", "This browser cannot check it here.", "The page was not opened over https, so there is no cryptography. Check the file with affidavit-verify instead.");
    return;
  }
  try {
    const found = await verify(await source(), known);
    add(out, "h3", "Proved");
    named(out, found);
    out.append(list);
    proof(list, "good", `All ${found.events} events of the file are in the signed log of ${found.size} events.`,
      `The fingerprint of each leads, step by step, to the one fingerprint of the whole log. Were one of them another, or elsewhere than at its position between ${found.first} and ${found.last}, it would lead elsewhere (RFC 9162). It does not say that the file holds every event of the run.`);
    proof(list, "good", `${found.bodies} texts are the ones that were recorded, unchanged.`,
      "Each event holds a sealed fingerprint of its text, made with a random number that only the file and the log have (HMAC-SHA256). One changed letter would break it.");
    if (found.signed) proof(list, "good", "The log's head is signed by the log's key.", "Whoever signed it cannot deny this state of the log later (Ed25519).");
    else proof(list, "wait", "The signature was not checked.", "This browser knows no Ed25519. The offline verifier does.");
    if (found.known) proof(list, "good", "The key is the one that you gave.", "So it was signed by whom you expect.");
    else proof(list, "wait", "The key came with the file.", "Compare it with one that you had before: without that, whoever holds the server could have made both.");
    add(add(list, "li", "Root "), "code", found.root);
  } catch (error) {
    const said = error instanceof Refused ? error.message : `the file cannot be read (${error.message})`;
    out.replaceChildren(list);
    proof(list, "bad", `Not proved: ${said}.`, "Nothing that the file says should be relied on. Keep it: that it does not hold is evidence too.");
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
