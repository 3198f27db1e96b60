-- What each stream's ledger said when a writer last looked, a second ago at most while one runs. Redis can lose a ledger
-- together with its stream (FLUSHALL, DEL, a restart without an append-only file): then this tells what was in it.

CREATE TABLE stream_ledger (
    stream        text COLLATE "C" PRIMARY KEY,
    added         bigint NOT NULL,           -- entries that were ever added
    stored        bigint NOT NULL,           -- settled as stored
    dead_lettered bigint NOT NULL,           -- settled as dead letters
    in_stream     bigint NOT NULL,           -- the backlog
    last_id       text NOT NULL,             -- the last id that the stream gave
    seen_at       timestamptz NOT NULL,
    lost          bigint NOT NULL DEFAULT 0  -- entries that went unsettled with a stream, until somebody accepts it
);
