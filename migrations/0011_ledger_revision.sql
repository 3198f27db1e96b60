-- A ledger's revision was called looks. A writer of the version before finds no column of that name: it stores on, and
-- keeps no copies of the ledgers from now on (docs/operations.md, upgrade).

ALTER TABLE stream_ledger RENAME COLUMN looks TO revision;
COMMENT ON COLUMN stream_ledger.revision IS 'How many snapshots the ledger had counted: it grows with each change of this row.';
