-- What each stream's ledger said when a writer last looked, a second ago at most while one runs and something changes.
-- Redis can lose a ledger together with its stream (FLUSHALL, DEL, a restart without an append-only file): then this
-- tells what was in it. One database belongs to one Redis.

CREATE TABLE stream_ledger (
    stream        text COLLATE "C" PRIMARY KEY,
    added         bigint NOT NULL,           -- entries that were ever added
    stored        bigint NOT NULL,           -- settled as stored
    dead_lettered bigint NOT NULL,           -- settled as dead letters
    removed       bigint NOT NULL,           -- removed by other hands, and written off
    duplicates    bigint NOT NULL,           -- rows that were there already
    in_stream     bigint NOT NULL,           -- the backlog
    last_id       text COLLATE "C" NOT NULL, -- the last id that the stream gave
    looks         bigint NOT NULL,           -- how many looks the ledger counted: it grows with each change of this row
    is_closed     boolean NOT NULL,          -- the stream has begun anew; its ledger has not yet
    seen_at       timestamptz NOT NULL,
    lost          bigint NOT NULL            -- entries that went unsettled with a stream, until somebody accepts it
);
COMMENT ON TABLE stream_ledger IS 'One row for each stream: what its ledger said, and how many entries went unsettled with it.';
