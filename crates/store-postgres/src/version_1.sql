-- The functions below set `search_path` to the schema in which they were created, regardless of the `search_path` of
-- the calling session. Otherwise a session with another schema first would be checked against the tables of that
-- schema.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- `log` has all data: the row of a write is the version of the object, and there is no table of current objects. Its
-- index finds the newest version of a key at any revision without reading the rows. `commit_end` is the last revision
-- of the same commit; `previous` is the revision of the version that the write replaced, which compaction may drop when
-- the write itself is compacted. `token` is set on the last row of a commit: a replica that lost the answer looks it
-- up.
CREATE TABLE log (
    revision bigint PRIMARY KEY CHECK (revision > 0),
    key text COLLATE "C" NOT NULL,
    previous bigint,
    commit_end bigint NOT NULL CHECK (commit_end >= revision),
    live boolean NOT NULL,
    value bytea,
    token uuid,
    CHECK (live = (value IS NOT NULL))
);
CREATE INDEX log_by_key ON log (key, revision DESC) INCLUDE (live);
-- Values are not compressed: they are small, and CPU time is the bottleneck.
ALTER TABLE log ALTER COLUMN value SET STORAGE EXTERNAL;

-- A transaction locks this row to commit. The row is locked and never updated: a lock leaves no dead version. An update
-- would leave one per commit, and while an old transaction is open, every later commit would read all of them. (An
-- advisory lock would write nothing, but its number is shared by the whole database and any role may take it.)
CREATE TABLE commit_lock (only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row));
INSERT INTO commit_lock DEFAULT VALUES;

-- `log_id` identifies one continuous history of revisions. It changes when the log is bulk-loaded or its revision is
-- advanced. Compactions are serialized by a lock on this row.
CREATE TABLE log_identity (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    log_id uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO log_identity DEFAULT VALUES;

-- The revision up to which history is compacted: the greatest row counts. `commit_end` is the last revision of the commit
-- that contains `compacted`; `token` is the token of the log row at `compacted`, which may have been removed.
-- Compaction inserts a row and deletes the previous one. Dead versions then have smaller keys than the current row,
-- where an index scan for the greatest row does not read them: every commit reads this table.
CREATE TABLE horizon (
    compacted bigint PRIMARY KEY,
    commit_end bigint NOT NULL CHECK (commit_end >= compacted),
    token uuid
);
INSERT INTO horizon VALUES (0, 0, gen_random_uuid());

-- Numbers are 16 bytes, most significant byte first, so that the order of the bytes is the order of the numbers.
CREATE TABLE span (
    space text COLLATE "C" NOT NULL,
    first bytea NOT NULL CHECK (octet_length(first) = 16),
    last bytea NOT NULL CHECK (octet_length(last) = 16),
    holder text COLLATE "C" NOT NULL,
    PRIMARY KEY (space, first),
    CHECK (first <= last)
);

-- By default a table is vacuumed when a fifth of it is dead: a gigabyte in a large log.
ALTER TABLE log SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
ALTER TABLE span SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

-- The overlap check. Spans change only under the head lock, one transaction at a time, and each one sees what was
-- committed before. If any two spans of a space overlap, two adjacent ones do. For each new span it is therefore
-- sufficient to read the last two that begin before it ends: the last one must be the new span, and the other one must
-- end before the new one begins.
CREATE FUNCTION span_check_overlap() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
DECLARE
    conflict record;
BEGIN
    SELECT taken.space, taken.first, taken.last, taken.holder, other.first AS first2, other.last AS last2, other.holder AS holder2
    INTO conflict
    FROM taken CROSS JOIN LATERAL (
        SELECT span.* FROM span WHERE span.space = taken.space AND span.first <= taken.last ORDER BY span.first DESC LIMIT 2
    ) AS other
    WHERE other.first <> taken.first AND other.last >= taken.first
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'two spans of one space would overlap'
            USING ERRCODE = 'exclusion_violation', CONSTRAINT = 'span_overlap', TABLE = 'span',
                DETAIL = format('%s..=%s in %s (holder %s) overlaps %s..=%s (holder %s)', encode(conflict.first, 'hex'),
                    encode(conflict.last, 'hex'), conflict.space, conflict.holder, encode(conflict.first2, 'hex'),
                    encode(conflict.last2, 'hex'), conflict.holder2);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION span_check_commit_lock() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'spans change at the isolation level read committed: no other sees what was committed before it';
    END IF;
    PERFORM FROM commit_lock FOR UPDATE;
    RETURN NULL;
END $$;

CREATE FUNCTION span_immutable() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a span is taken and released, never changed';
END $$;

CREATE TRIGGER span_check_commit_lock BEFORE INSERT OR DELETE ON span FOR EACH STATEMENT EXECUTE FUNCTION span_check_commit_lock();
CREATE TRIGGER span_check_overlap AFTER INSERT ON span REFERENCING NEW TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION span_check_overlap();
CREATE TRIGGER span_immutable BEFORE UPDATE ON span FOR EACH STATEMENT EXECUTE FUNCTION span_immutable();

-- Appends one commit atomically, in one round trip. `head_before` is the head when the lock was taken. `expected` of a key
-- that the commit has already written is not checked, because the caller has checked it.
CREATE FUNCTION append_commit(
    head_before bigint, keys text[], bodies bytea[], expected bigint[], checked boolean[], commit_token uuid,
    released_spaces text[], released_firsts bytea[], released_lasts bytea[], released_holders text[],
    taken_spaces text[], taken_firsts bytea[], taken_lasts bytea[], taken_holders text[]
) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
DECLARE
    size constant bigint := cardinality(keys);
    conflict record;
    changed bigint;
BEGIN
    SELECT wanted.key, newest.revision INTO conflict
    FROM unnest(keys, expected, checked) WITH ORDINALITY AS wanted (key, expected, checked, place)
    LEFT JOIN LATERAL (
        SELECT CASE WHEN log.live THEN log.revision END AS revision
        FROM log WHERE log.key = wanted.key ORDER BY log.revision DESC LIMIT 1
    ) AS newest ON true
    WHERE wanted.checked AND newest.revision IS DISTINCT FROM wanted.expected
    ORDER BY wanted.place LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'another version is there' USING ERRCODE = 'IP001', COLUMN = conflict.key, DETAIL = coalesce(conflict.revision, 0);
    END IF;
    INSERT INTO log (revision, key, previous, commit_end, live, value, token)
    SELECT head_before + written.place, written.key, written.expected, head_before + size, written.body IS NOT NULL, written.body,
        CASE WHEN written.place = size THEN commit_token END
    FROM unnest(keys, bodies, expected) WITH ORDINALITY AS written (key, body, expected, place);
    IF cardinality(released_spaces) > 0 THEN
        DELETE FROM span USING unnest(released_spaces, released_firsts, released_lasts, released_holders)
            AS released (space, first, last, holder)
        WHERE span.space = released.space AND span.first = released.first
            AND span.last = released.last AND span.holder = released.holder;
        GET DIAGNOSTICS changed = ROW_COUNT;
        IF changed <> cardinality(released_spaces) THEN
            RAISE EXCEPTION 'a span that is not held cannot be released' USING ERRCODE = 'IP002';
        END IF;
    END IF;
    IF cardinality(taken_spaces) > 0 THEN
        INSERT INTO span SELECT * FROM unnest(taken_spaces, taken_firsts, taken_lasts, taken_holders);
    END IF;
    -- A notification for the other replicas, which is sent when the transaction commits.
    PERFORM pg_notify('ipam_log', (head_before + size)::text);
END $$;

-- Read functions. They are functions so that each database session plans them once, also through a pooler without
-- prepared statements. They are planned for a large log, regardless of its size at that time: without sequential scans,
-- and without JIT compilation of plans that run for a fraction of a millisecond. STABLE: they use the snapshot of the
-- calling statement.

-- Returns the head and its token, the start of the history, and the token at `mark`. If compaction removed the row of
-- the head (a deletion), the horizon has the head.
CREATE FUNCTION log_state(mark bigint) RETURNS TABLE (
    head bigint, compacted bigint, log_id uuid, token uuid, token_at_mark uuid, is_standby boolean
) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT greatest(latest.revision, horizon.compacted), horizon.compacted, log_identity.log_id,
        CASE WHEN latest.revision > horizon.compacted THEN latest.token ELSE horizon.token END,
        coalesce((SELECT log.token FROM log WHERE log.revision = mark), at_mark.token),
        pg_is_in_recovery()
    FROM log_identity
    CROSS JOIN LATERAL (SELECT * FROM horizon ORDER BY horizon.compacted DESC LIMIT 1) AS horizon
    LEFT JOIN LATERAL (SELECT * FROM log ORDER BY log.revision DESC LIMIT 1) AS latest ON true
    LEFT JOIN horizon AS at_mark ON at_mark.compacted = mark;
END $$;

-- Returns the current versions of these keys, in the order of the keys.
CREATE FUNCTION current_versions(keys text[]) RETURNS TABLE (revision bigint, value bytea)
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT newest.revision, newest.value
    FROM unnest(keys) WITH ORDINALITY AS wanted (key, place)
    LEFT JOIN LATERAL (
        SELECT log.revision, log.value FROM log WHERE log.key = wanted.key ORDER BY log.revision DESC LIMIT 1
    ) AS newest ON newest.value IS NOT NULL
    ORDER BY wanted.place;
END $$;

-- Returns the start of the history, the log ID, and a page of the entries after `after_revision`; one row without an entry if
-- there is none. The page ends after `max_rows` entries, or with the entry that makes its values reach `max_bytes`. Values
-- that are not returned are not read, only their lengths.
CREATE FUNCTION changes_since(after_revision bigint, max_rows bigint, max_bytes bigint) RETURNS TABLE (
    log_id uuid, compacted bigint,
    revision bigint, key text, value bytea, previous bigint, replaced bytea
) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT log_identity.log_id, horizon.compacted, entry.revision, entry.key, entry.value, entry.previous, entry.replaced
    FROM log_identity
    CROSS JOIN LATERAL (SELECT compacted FROM horizon ORDER BY compacted DESC LIMIT 1) AS horizon
    LEFT JOIN (
        SELECT *, sum(coalesce(octet_length(value), 0) + coalesce(octet_length(replaced), 0))
            OVER (ORDER BY revision ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bytes_before
        FROM (
            SELECT log.revision, log.key, log.value, log.previous,
                (SELECT older.value FROM log AS older WHERE older.revision = log.previous) AS replaced
            FROM log WHERE log.revision > after_revision ORDER BY log.revision LIMIT max_rows
        ) AS next
    ) AS entry ON coalesce(entry.bytes_before, 0) < max_bytes
    ORDER BY entry.revision;
END $$;

-- Returns the keys of a snapshot, by a skip scan of the index from key to key, regardless of the number of versions in
-- between. `snapshot_revision` is the end of the commit that contains `at`; `at` is NULL for the head.
CREATE FUNCTION list_keys(prefix text, after_key text, at bigint, max_rows bigint) RETURNS TABLE (
    head bigint, compacted bigint, snapshot_revision bigint, key text, revision bigint
) LANGUAGE plpgsql STABLE SET search_path FROM CURRENT SET jit = off SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY WITH RECURSIVE latest AS (
        SELECT greatest((SELECT max(log.revision) FROM log), horizon.compacted) AS head, horizon.compacted, horizon.commit_end AS commit_end_at_horizon
        FROM horizon ORDER BY horizon.compacted DESC LIMIT 1
    ), snapshot AS (
        SELECT head, compacted, CASE
            WHEN at IS NULL THEN head
            WHEN at = compacted THEN commit_end_at_horizon
            ELSE (SELECT commit_end FROM log WHERE log.revision = at)
        END AS snapshot_revision FROM latest
    ), keys (key) AS (
        (SELECT log.key FROM log WHERE log.key >= prefix AND log.key > after_key ORDER BY log.key LIMIT 1)
        UNION ALL
        SELECT (SELECT log.key FROM log WHERE log.key > keys.key ORDER BY log.key LIMIT 1)
        FROM keys WHERE starts_with(keys.key, prefix)
    ), found AS (
        SELECT newest.key, newest.revision FROM snapshot CROSS JOIN keys CROSS JOIN LATERAL (
            SELECT log.key, log.revision, log.live FROM log
            WHERE log.key = keys.key AND log.revision <= snapshot.snapshot_revision ORDER BY log.revision DESC LIMIT 1
        ) AS newest
        WHERE newest.live AND starts_with(newest.key, prefix)
        LIMIT max_rows
    )
    SELECT snapshot.head, snapshot.compacted, snapshot.snapshot_revision, found.key, found.revision
    FROM snapshot LEFT JOIN found ON true ORDER BY found.key;
END $$;
