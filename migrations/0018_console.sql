-- For the console: the actions of its users, and groups of dead letters whose reasons differ only in their values. May be run
-- again.
--
-- The column reason_group rewrites ingest_errors, some 20 s for a million dead letters: a writer that has a dead letter to
-- store waits for it, as it waits in an outage.

CREATE TABLE IF NOT EXISTS public.console_action (
    id         bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT console_action_key PRIMARY KEY,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    ended_at   timestamptz,
    user_name  text NOT NULL,
    role       text NOT NULL,
    action     text NOT NULL,
    scope      jsonb,
    asked      bigint,
    done       bigint NOT NULL DEFAULT 0,
    skipped    bigint NOT NULL DEFAULT 0,
    outcome    text,
    stop_asked_by text
);
-- The consoles of one database replay one after the other.
CREATE UNIQUE INDEX IF NOT EXISTS console_action_replay ON public.console_action ((true))
    WHERE action = 'replay' AND ended_at IS NULL;
COMMENT ON TABLE public.console_action IS 'Actions of users of the console: logins, exports and replays of dead letters.';
COMMENT ON COLUMN public.console_action.seen_at IS 'The last heartbeat of the console for this action; an action without an end and with an old heartbeat was interrupted.';
COMMENT ON COLUMN public.console_action.scope IS 'Which dead letters: the conditions, and of a replay its rate in messages/s.';
COMMENT ON COLUMN public.console_action.asked IS 'How many dead letters matched the conditions.';
COMMENT ON COLUMN public.console_action.skipped IS 'How many of them were skipped, because they can''t be replayed exactly.';
COMMENT ON COLUMN public.console_action.outcome IS 'How it ended: done, or why not; NULL until then.';
COMMENT ON COLUMN public.console_action.stop_asked_by IS 'The user who asked a replay to stop; the console that runs it reads this with its next heartbeat.';

-- A reason without the values that differ from message to message: texts in quotation marks, numbers, indexes, times. Such
-- text begins at the edge of a word, so p1 and itg200 stay, and UTF-8 is a name. Only ASCII letters count, so that the
-- result does not depend on a locale's version.
CREATE OR REPLACE FUNCTION public.reason_group(reason text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
    SELECT pg_catalog.replace(
        pg_catalog.regexp_replace(
            pg_catalog.left(reason, 500) COLLATE "C",
            '"[^"]*"|\Y''[^'']*''|\m[0-9]([0-9.:TZe+-]*[0-9Z])?',
            '…', 'g'
        ),
        'UTF-…', 'UTF-8'
    )
$$;
COMMENT ON FUNCTION public.reason_group IS 'The reason of a dead letter without its values: reasons with the same text are one group.';
-- A writer that stores a dead letter calls it, also where only the owner of a function may call it.
GRANT EXECUTE ON FUNCTION public.reason_group TO PUBLIC;

ALTER TABLE public.ingest_errors ADD COLUMN IF NOT EXISTS reason_group text COLLATE "C"
    GENERATED ALWAYS AS (public.reason_group(reason)) STORED;
COMMENT ON COLUMN public.ingest_errors.reason_group IS 'The reason without its values.';
