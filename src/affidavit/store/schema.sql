-- The catalog. One clock: every row that can change is true from position `since` until position `until`
-- (4611686018427387904 = 2^62 while it is true).
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE heads (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE bodies (
  id INTEGER PRIMARY KEY, salt BLOB NOT NULL, codec INTEGER NOT NULL, size INTEGER NOT NULL, data BLOB NOT NULL);
CREATE TABLE events (
  position INTEGER PRIMARY KEY, kind TEXT NOT NULL, tenant INTEGER NOT NULL, run TEXT NOT NULL,
  at INTEGER NOT NULL, header BLOB NOT NULL, leaf BLOB NOT NULL, body INTEGER REFERENCES bodies (id));
CREATE INDEX events_by_run ON events (run, position) WHERE run <> '';
CREATE INDEX events_by_kind ON events (kind, position);
CREATE INDEX events_by_time ON events (at);
-- What lists of runs are made from: what `run.started` and `run.finished` say. `who` is emptied with the body that says it.
CREATE TABLE runs (
  position INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, run TEXT NOT NULL, journey TEXT NOT NULL, who TEXT NOT NULL,
  status TEXT NOT NULL);
CREATE INDEX runs_by_run ON runs (run);
CREATE INDEX runs_by_who ON runs (tenant, who, position);
CREATE INDEX runs_by_tenant ON runs (tenant, position);
CREATE INDEX runs_by_journey ON runs (tenant, journey, position);
CREATE TABLE tree (level INTEGER, number INTEGER, hash BLOB NOT NULL, PRIMARY KEY (level, number)) WITHOUT ROWID;
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, at INTEGER NOT NULL, note TEXT NOT NULL);

CREATE TABLE tenants (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, since INTEGER NOT NULL);
CREATE TABLE people (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, principal TEXT NOT NULL, facts TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX people_by_principal ON people (tenant, principal, until);
CREATE TABLE memberships (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, grp TEXT NOT NULL, member TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX memberships_by_member ON memberships (tenant, member, until);
CREATE INDEX memberships_by_group ON memberships (tenant, grp, until);
CREATE TABLE grants (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, action TEXT NOT NULL, principal TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX grants_by_action ON grants (tenant, action, until);

CREATE TABLE sources (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, location TEXT NOT NULL,
  settings TEXT NOT NULL, cursor TEXT NOT NULL DEFAULT '', synced_at INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX sources_by_name ON sources (tenant, name) WHERE until = 4611686018427387904;
CREATE TABLE documents (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, source INTEGER NOT NULL REFERENCES sources (id), name TEXT NOT NULL,
  stamp TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX documents_by_name ON documents (source, name) WHERE until = 4611686018427387904;
CREATE TABLE access_rules (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, digest TEXT NOT NULL, rule TEXT NOT NULL, UNIQUE (tenant, digest));
CREATE TABLE governance (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id), rule INTEGER NOT NULL REFERENCES access_rules (id),
  owner TEXT NOT NULL, classification TEXT NOT NULL, rank INTEGER NOT NULL, fresh_days INTEGER NOT NULL,
  deprecated INTEGER NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX governance_by_document ON governance (document, until);
CREATE INDEX governance_by_since ON governance (since);
CREATE INDEX governance_by_until ON governance (until) WHERE until <> 4611686018427387904;
CREATE TABLE revisions (
  id INTEGER PRIMARY KEY, document INTEGER NOT NULL REFERENCES documents (id), name TEXT NOT NULL, title TEXT NOT NULL,
  location TEXT NOT NULL, media_type TEXT NOT NULL, metadata TEXT NOT NULL, digest TEXT NOT NULL,
  modified INTEGER, indexed_at INTEGER NOT NULL, source_body INTEGER REFERENCES bodies (id), text_body INTEGER REFERENCES bodies (id),
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX revisions_by_document ON revisions (document, until);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY, revision INTEGER NOT NULL REFERENCES revisions (id), document INTEGER NOT NULL, tenant INTEGER NOT NULL,
  ordinal INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL, path TEXT NOT NULL, kind TEXT NOT NULL,
  fields TEXT NOT NULL, digest TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE INDEX chunks_by_document ON chunks (document, until);
CREATE INDEX chunks_by_since ON chunks (since);
CREATE INDEX chunks_by_until ON chunks (until) WHERE until <> 4611686018427387904;
CREATE INDEX chunks_by_digest ON chunks (digest);

CREATE TABLE embedders (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL UNIQUE, name TEXT NOT NULL, dimensions INTEGER NOT NULL);
CREATE TABLE embeddings (
  id INTEGER PRIMARY KEY, embedder INTEGER NOT NULL REFERENCES embedders (id), digest TEXT NOT NULL, vector BLOB NOT NULL,
  UNIQUE (embedder, digest));
CREATE TABLE releases (digest TEXT PRIMARY KEY, content TEXT NOT NULL, since INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE channels (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, release TEXT NOT NULL REFERENCES releases (digest),
  since INTEGER NOT NULL, until INTEGER NOT NULL);

-- Parties outside: settings are on the log; how far each has come and what it signed speak for themselves.
CREATE TABLE sinks (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, settings TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX sinks_by_name ON sinks (name) WHERE until = 4611686018427387904;
CREATE TABLE deliveries (
  sink INTEGER PRIMARY KEY REFERENCES sinks (id), size INTEGER NOT NULL, at INTEGER NOT NULL, tried INTEGER NOT NULL,
  error TEXT NOT NULL);
CREATE TABLE attestations (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, party TEXT NOT NULL, size INTEGER NOT NULL, at INTEGER NOT NULL,
  note TEXT NOT NULL, token BLOB);
CREATE TABLE holds (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL, source TEXT NOT NULL,
  reason TEXT NOT NULL, stated_by TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE barred (
  tenant INTEGER NOT NULL, mark TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
  PRIMARY KEY (tenant, mark, since)) WITHOUT ROWID;
-- How far each follower of the log has come. Not on the log: a follower must not feed itself.
CREATE TABLE followers (
  name TEXT PRIMARY KEY, settings TEXT NOT NULL, position INTEGER NOT NULL, leaf BLOB NOT NULL, state TEXT NOT NULL,
  at INTEGER NOT NULL) WITHOUT ROWID;
-- What may be spent. `who` is a pseudonym of a person, `*` for each person alone, or empty; amounts are millionths, -1 for no limit.
CREATE TABLE budgets (
  id INTEGER PRIMARY KEY, number INTEGER NOT NULL, tenant INTEGER NOT NULL, who TEXT NOT NULL, task TEXT NOT NULL, per TEXT NOT NULL,
  amount INTEGER NOT NULL, requests INTEGER NOT NULL, currency TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX budgets_by_number ON budgets (number) WHERE until = 4611686018427387904;
-- Uses of tools. `due` is when somebody must look again (not before, end of a lease, expiry), 2^62 for never: a hint, not on the log.
-- Arguments and people are in the bodies of the events at `proposed` and `resolved`, so that they can be erased.
CREATE TABLE contracts (digest TEXT PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE calls (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, tenant INTEGER NOT NULL, run TEXT NOT NULL, step INTEGER NOT NULL,
  tool TEXT NOT NULL, contract TEXT NOT NULL REFERENCES contracts (digest), key TEXT NOT NULL, undoes INTEGER NOT NULL,
  state TEXT NOT NULL, claim INTEGER NOT NULL, policy TEXT NOT NULL, proposed INTEGER NOT NULL, changed INTEGER NOT NULL,
  due INTEGER NOT NULL);
CREATE UNIQUE INDEX calls_by_run ON calls (run, step);
CREATE INDEX calls_by_due ON calls (due) WHERE due <> 4611686018427387904;
CREATE INDEX calls_by_state ON calls (tenant, state, id);
CREATE INDEX calls_by_undone ON calls (undoes) WHERE undoes <> 0;
-- Who must say yes to a call, under which contract and policy. `resolved` is -1 while it is open.
CREATE TABLE approvals (
  id INTEGER PRIMARY KEY, call INTEGER NOT NULL REFERENCES calls (id), roles TEXT NOT NULL, contract TEXT NOT NULL,
  policy TEXT NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL, opened INTEGER NOT NULL, resolved INTEGER NOT NULL);
CREATE INDEX approvals_by_call ON approvals (call);
-- Recent claims of tools that have a rate limit. Not on the log.
CREATE TABLE claims (call INTEGER NOT NULL, claim INTEGER NOT NULL, tool TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (call, claim)) WITHOUT ROWID;
CREATE INDEX claims_by_tool ON claims (tool, at);
-- What may be done at all: a tenant without a mode is read-only; what is in `kills` is stopped. A secret is named by where it is.
CREATE TABLE modes (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, mode TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX modes_by_tenant ON modes (tenant) WHERE until = 4611686018427387904;
CREATE TABLE kills (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, reason TEXT NOT NULL,
  stated_by TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX kills_by_name ON kills (tenant, kind, name) WHERE until = 4611686018427387904;
CREATE TABLE secrets (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, place TEXT NOT NULL,
  since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX secrets_by_name ON secrets (tenant, name) WHERE until = 4611686018427387904;
-- What proves who asks over the network: API keys, sessions, sign-in links. Never the secret itself, only its SHA-256.
CREATE TABLE credentials (
  id TEXT PRIMARY KEY, tenant INTEGER NOT NULL, kind TEXT NOT NULL, principal TEXT NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL,
  scopes TEXT NOT NULL, acts_for TEXT NOT NULL, expires INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL,
  seen INTEGER NOT NULL, made_by TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX credentials_by_principal ON credentials (tenant, principal, until);
CREATE INDEX credentials_by_expiry ON credentials (expires);
CREATE UNIQUE INDEX credentials_bound ON credentials (tenant, digest) WHERE kind = 'bound' AND until = 4611686018427387904;
CREATE INDEX credentials_by_maker ON credentials (made_by) WHERE made_by <> '';
-- What requests with an idempotency key were answered, for a day. Not on the log; every erasure empties it.
CREATE TABLE replies (
  tenant INTEGER NOT NULL, caller TEXT NOT NULL, key TEXT NOT NULL, request TEXT NOT NULL, run TEXT NOT NULL, owner TEXT NOT NULL,
  state TEXT NOT NULL, answer TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (tenant, caller, key)) WITHOUT ROWID;
CREATE INDEX replies_by_age ON replies (at);
-- Which actions take two people, and what waits for the second. `principal`, `speaker` and `asked` are emptied with the person.
CREATE TABLE four_eyes (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, actions TEXT NOT NULL, stated_by TEXT NOT NULL, since INTEGER NOT NULL,
  until INTEGER NOT NULL);
CREATE UNIQUE INDEX four_eyes_by_tenant ON four_eyes (tenant) WHERE until = 4611686018427387904;
CREATE TABLE proposals (
  id TEXT PRIMARY KEY, tenant INTEGER NOT NULL, operation TEXT NOT NULL, principal TEXT NOT NULL, speaker TEXT NOT NULL,
  scopes TEXT NOT NULL, proof TEXT NOT NULL, asked TEXT NOT NULL, expires INTEGER NOT NULL, state TEXT NOT NULL, since INTEGER NOT NULL,
  until INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX proposals_by_tenant ON proposals (tenant, until);
-- Tools of strangers that an operator accepted, by the digest of what was accepted; the content is in the event at `since`.
CREATE TABLE imports (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX imports_by_name ON imports (name) WHERE until = 4611686018427387904;
-- What is promised of a source (0: of each) or, for citations, of the tenant: a share in ten-thousandths over so many days, and for
-- what takes time within so many seconds.
CREATE TABLE objectives (
  id INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, level TEXT NOT NULL, source INTEGER NOT NULL, within INTEGER NOT NULL,
  share INTEGER NOT NULL, days INTEGER NOT NULL, since INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE UNIQUE INDEX objectives_by_level ON objectives (tenant, level, source) WHERE until = 4611686018427387904;
