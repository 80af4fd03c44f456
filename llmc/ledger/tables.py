"""The ledger's tables, as SQL. A change is a new entry in ``MIGRATIONS``; an entry that was released is never edited.

What happened is append-only: triggers refuse UPDATE and DELETE, and an INSERT of something that is there already does nothing,
``INSERT OR REPLACE`` included. Only ``reservations`` (calls under way) and ``warned`` (thresholds that were announced) change.
"""

_APPEND_ONLY = """
CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER {table}_once BEFORE INSERT ON {table}
  WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) BEGIN SELECT RAISE(IGNORE); END;
"""
_ONCE = {
    "runs": "run = NEW.run OR run_id = NEW.run_id",
    "tags": "run = NEW.run AND tag = NEW.tag",
    "run_ends": "run = NEW.run",
    "prices": "price = NEW.price OR price_id = NEW.price_id",
    "events": "event = NEW.event OR event_id = NEW.event_id",
    "documents": "made = NEW.made OR made_id = NEW.made_id",
    "energy": "stretch = NEW.stretch OR stretch_id = NEW.stretch_id",
    "repricings": "repricing_id = NEW.repricing_id AND event = NEW.event",
}
APPEND_ONLY = tuple(_ONCE)

_FIRST = """
-- One run of llmc, or of a program that uses it.
CREATE TABLE runs (
  run INTEGER PRIMARY KEY,
  run_id TEXT NOT NULL UNIQUE,
  project TEXT NOT NULL,
  target TEXT NOT NULL,           -- compress, bench, ...
  config_hash TEXT NOT NULL,
  host TEXT NOT NULL,             -- fingerprint of the machine: a hash, no name
  started_us INTEGER NOT NULL,
  profile TEXT NOT NULL,
  model TEXT NOT NULL             -- the local model, as configured
) STRICT;
CREATE INDEX runs_by_project ON runs (project);

CREATE TABLE tags (
  run INTEGER NOT NULL REFERENCES runs,
  tag TEXT NOT NULL,
  PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX tags_by_tag ON tags (tag);

CREATE TABLE run_ends (
  run INTEGER PRIMARY KEY REFERENCES runs,
  ended_us INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('done', 'failed', 'interrupted')),
  original_bytes INTEGER CHECK (original_bytes >= 0),
  archive_bytes INTEGER CHECK (archive_bytes >= 0)
) STRICT;

-- With what an event was priced; kept for good, so that a price that changes later changes nothing here.
CREATE TABLE prices (
  price INTEGER PRIMARY KEY,
  price_id TEXT NOT NULL UNIQUE,  -- hash of the rest
  cost_source TEXT NOT NULL CHECK (cost_source IN ('receipt', 'override', 'list', 'energy', 'cached', 'unserved', 'unknown')),
  price_source TEXT NOT NULL,     -- genai-prices==0.2.3; the contract a configured price comes from; why unknown
  provider TEXT NOT NULL,
  model TEXT NOT NULL,            -- asked for
  matched_model TEXT NOT NULL,    -- the entry of the list that was taken
  rates TEXT NOT NULL,            -- JSON: what the source says, dollars per million tokens or per kWh as text
  variant TEXT NOT NULL,          -- batch, flex, ...: asked for
  variant_matched INTEGER CHECK (variant_matched IN (0, 1)),  -- NULL: none was asked for
  checked TEXT NOT NULL           -- date of the source, where it has one
) STRICT;

-- One attempt each, failed and cached ones too.
CREATE TABLE events (
  event INTEGER PRIMARY KEY AUTOINCREMENT,
  event_id TEXT NOT NULL UNIQUE CHECK (length(event_id) BETWEEN 1 AND 200),
  run INTEGER NOT NULL REFERENCES runs,
  at_us INTEGER NOT NULL,         -- settled
  document TEXT NOT NULL,
  tier TEXT NOT NULL,
  backend_kind TEXT NOT NULL CHECK (backend_kind IN ('local', 'cloud')),
  engine TEXT NOT NULL,
  provider TEXT NOT NULL,
  model TEXT NOT NULL,
  served_model TEXT NOT NULL,
  attempt INTEGER NOT NULL CHECK (attempt >= 1),
  status TEXT NOT NULL CHECK (status IN ('ok', 'failed', 'cached', 'lost')),  -- lost: its process died before it was settled
  reason TEXT NOT NULL,
  prompt_tokens INTEGER CHECK (prompt_tokens >= 0),            -- NULL: nobody said
  cache_read_tokens INTEGER NOT NULL CHECK (cache_read_tokens >= 0),
  cache_write_tokens INTEGER NOT NULL CHECK (cache_write_tokens >= 0),
  output_tokens INTEGER CHECK (output_tokens >= 0),            -- reasoning included
  reasoning_tokens INTEGER NOT NULL CHECK (reasoning_tokens >= 0),
  seconds REAL NOT NULL,
  request_id TEXT NOT NULL,
  cost_pico INTEGER,              -- NULL: unknown
  price INTEGER NOT NULL REFERENCES prices,
  energy_joules REAL CHECK (energy_joules >= 0),               -- NULL: not measured, not estimated
  energy_method TEXT NOT NULL
    CHECK (energy_method IN ('measured_counter', 'measured_power_integral', 'configured_watts', 'none')),
  energy_scope TEXT NOT NULL,
  energy_coverage REAL NOT NULL CHECK (energy_coverage BETWEEN 0 AND 1),
  reserved_pico INTEGER,          -- what was set aside; NULL: the price was unknown
  reserved_tokens INTEGER,
  CHECK ((energy_joules IS NULL) = (energy_method = 'none'))
) STRICT;
CREATE INDEX events_by_time ON events (at_us);
CREATE INDEX events_by_run ON events (run);

-- Calls under way: what they may cost at most, and whose they are.
CREATE TABLE reservations (
  event_id TEXT PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs,
  at_us INTEGER NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  process_started REAL NOT NULL,  -- a pid is used again, a pid with its birth is not
  call TEXT NOT NULL,             -- JSON of the call, to record it when its process dies
  model TEXT NOT NULL,
  local INTEGER NOT NULL,
  cost_pico INTEGER,              -- NULL: unknown, or local
  tokens INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE warned (
  budget TEXT NOT NULL,
  start_us INTEGER NOT NULL,
  threshold REAL NOT NULL,
  PRIMARY KEY (budget, start_us, threshold)
) STRICT, WITHOUT ROWID;

-- What became of a document.
CREATE TABLE documents (
  made INTEGER PRIMARY KEY AUTOINCREMENT,
  made_id TEXT NOT NULL UNIQUE,
  run INTEGER NOT NULL REFERENCES runs,
  at_us INTEGER NOT NULL,
  document TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('gist', 'extract', 'none')),
  tier TEXT NOT NULL,
  source_bytes INTEGER NOT NULL,
  source_tokens INTEGER NOT NULL,
  view_tokens INTEGER NOT NULL,
  refused INTEGER NOT NULL,
  seconds REAL NOT NULL
) STRICT;
CREATE INDEX documents_by_run ON documents (run);
CREATE INDEX documents_by_time ON documents (at_us);

-- A stretch of a run: energy while calls were under way (also on their events) and while none was (only here).
CREATE TABLE energy (
  stretch INTEGER PRIMARY KEY AUTOINCREMENT,
  stretch_id TEXT NOT NULL UNIQUE,
  run INTEGER NOT NULL REFERENCES runs,
  start_us INTEGER NOT NULL,
  end_us INTEGER NOT NULL CHECK (end_us >= start_us),
  meter TEXT NOT NULL,            -- rapl, nvml, amdsmi, hwmon, watts, none
  method TEXT NOT NULL,
  scope TEXT NOT NULL,
  coverage REAL NOT NULL,
  busy_seconds REAL NOT NULL,
  idle_seconds REAL NOT NULL,
  busy_joules REAL,
  idle_joules REAL,
  idle_pico INTEGER               -- NULL: unknown
) STRICT;
CREATE INDEX energy_by_run ON energy (run);

-- Later opinions on what events cost; the first one stays.
CREATE TABLE repricings (
  repricing_id TEXT NOT NULL,
  event INTEGER NOT NULL REFERENCES events,
  at_us INTEGER NOT NULL,
  cost_pico INTEGER,
  price INTEGER NOT NULL REFERENCES prices,
  PRIMARY KEY (repricing_id, event)
) STRICT, WITHOUT ROWID;
""" + "".join(_APPEND_ONLY.format(table=table, same=same) for table, same in _ONCE.items())

MIGRATIONS = (_FIRST,)
"""``PRAGMA user_version`` counts how many a file has been through."""
