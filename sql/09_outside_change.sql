-- What others changed on the devices, as it was seen: metadata.managedFields says who and when, but only of the newest change of a
-- field. Written by the mirror worker with the record of the object (dbnet.object); read through dbnet.timeline.

CREATE FUNCTION dbnet.value_at(document jsonb, path text) RETURNS jsonb
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dbnet_value_at';
COMMENT ON FUNCTION dbnet.value_at(jsonb, text) IS 'Internal: as dbnet.get(), but NULL wherever the path does not lead to one value';

CREATE FUNCTION dbnet.is_owned_otherwise(before jsonb, after jsonb, claimed text[]) RETURNS boolean
    LANGUAGE c STRICT IMMUTABLE PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'dbnet_is_owned_otherwise';
COMMENT ON FUNCTION dbnet.is_owned_otherwise(jsonb, jsonb, text[]) IS
    'Internal: whether managers of an object, path by path as in dbnet.object, tell that somebody but the mirror changed a field outside the status. Fields that the mirror claims and wrote again are none';

CREATE TABLE dbnet.outside_change (
    id          bigint      NOT NULL,
    at          timestamptz NOT NULL,
    relation    regclass    NOT NULL,
    namespace   text COLLATE "C" NOT NULL DEFAULT '',
    name        text COLLATE "C" NOT NULL,
    operation   text        NOT NULL CHECK (operation IN ('set', 'remove', 'delete')),
    paths       text[],
    manager     text,
    CHECK ((operation = 'delete') = (paths IS NULL))
);
CREATE INDEX outside_change_id ON dbnet.outside_change (id);
CREATE INDEX outside_change_at ON dbnet.outside_change (at);
CREATE INDEX outside_change_key ON dbnet.outside_change (relation, namespace, name, id);
COMMENT ON INDEX dbnet.outside_change_id IS 'What is old';
COMMENT ON INDEX dbnet.outside_change_at IS 'A span of time';
COMMENT ON INDEX dbnet.outside_change_key IS 'Changes of one object';
COMMENT ON TABLE dbnet.outside_change IS 'Changes of mirrored fields by others than DBNet, since the mirror knows the object; of its status there is none, as reports tell of that. Paths, never values. Kept as long as dbnet.provenance_retention says';
COMMENT ON COLUMN dbnet.outside_change.id IS 'event id: dbnet.event_time(id) is when it was seen';
COMMENT ON COLUMN dbnet.outside_change.at IS 'when the field was set, as the server has it, in whole seconds; where it does not say, when it was seen';
COMMENT ON COLUMN dbnet.outside_change.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.outside_change.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.outside_change.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.outside_change.operation IS 'set | remove fields; delete the object';
COMMENT ON COLUMN dbnet.outside_change.paths IS 'the fields; NULL for delete';
COMMENT ON COLUMN dbnet.outside_change.manager IS 'field manager that did it; NULL = the server does not say, as of a delete, or of who removed fields and set none';
SELECT pg_catalog.pg_extension_config_dump('dbnet.outside_change', 'WHERE relation::oid IN (SELECT oid FROM pg_catalog.pg_class)');

CREATE FUNCTION dbnet.note_outside_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
DECLARE
    ours text := (SELECT m.field_manager FROM dbnet.mirrored_relation AS m WHERE m.relation = NEW.relation);
    before jsonb := CASE WHEN OLD.uid = NEW.uid THEN OLD.live END; -- another incarnation has nothing of the one before
    -- Who removes a field, and sets none, leaves no trace in managedFields.
    remover text := (SELECT m.value ->> 0 FROM jsonb_each(NEW.managers) AS m
                     WHERE m.value ->> 0 = NEW.last_manager AND m.value IS DISTINCT FROM OLD.managers -> m.key LIMIT 1);
BEGIN
    INSERT INTO dbnet.outside_change (id, at, relation, namespace, name, operation, paths, manager)
    WITH changed AS MATERIALIZED ( -- an owner's time moves with any field of it: only values tell which
        SELECT c.path, OLD.managers -> c.path AS old_owner, NEW.managers -> c.path AS new_owner, f.new IS NULL AS is_removed
        FROM dbnet.mirrored_column AS c, LATERAL (SELECT dbnet.value_at(before, c.path) AS old, dbnet.value_at(NEW.live, c.path) AS new) AS f
        WHERE c.relation = NEW.relation AND c.role IN ('spec', 'meta') AND OLD.managers -> c.path IS DISTINCT FROM NEW.managers -> c.path
        AND f.old IS DISTINCT FROM f.new),
    change AS (
        SELECT 'set' AS operation, path, new_owner ->> 0 AS manager, (new_owner ->> 1)::timestamptz AS at FROM changed WHERE NOT is_removed
        UNION ALL
        SELECT 'remove', path, remover, NULL FROM changed WHERE is_removed AND NEW.live IS NOT NULL AND (old_owner ->> 0 IS DISTINCT FROM ours OR path = ANY (NEW.claimed))
        UNION ALL
        SELECT 'delete', NULL, NULL, NULL WHERE NEW.live IS NULL AND NEW.phase = 'absent'
        UNION ALL
        -- Until now dbnet.object alone has told who set it before; of an object that never rests not all of what is known is looked at.
        SELECT 'set', path, old_owner ->> 0, (old_owner ->> 1)::timestamptz FROM changed AS c
        WHERE before IS NOT NULL AND old_owner ->> 1 IS NOT NULL AND NOT EXISTS (
            SELECT FROM (SELECT o.paths FROM dbnet.outside_change AS o WHERE o.relation = NEW.relation AND o.namespace = NEW.namespace AND o.name = NEW.name
                         ORDER BY o.relation DESC, o.namespace DESC, o.name DESC, o.id DESC LIMIT 200) AS o WHERE c.path = ANY (o.paths)))
    SELECT dbnet.take_event(), coalesce(g.at, clock_timestamp()), NEW.relation, NEW.namespace, NEW.name, g.operation, g.paths, g.manager
    FROM (SELECT c.operation, c.manager, c.at, array_agg(c.path ORDER BY c.path) FILTER (WHERE c.path IS NOT NULL) AS paths FROM change AS c
          WHERE c.manager IS DISTINCT FROM ours GROUP BY c.operation, c.manager, c.at) AS g ORDER BY g.at;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION dbnet.note_outside_change() IS
    'Trigger (AFTER UPDATE, FOR EACH ROW) of dbnet.object: what others changed of an object that was known goes into dbnet.outside_change';
-- Most updates of dbnet.object are our own doing, or tell of the status: those cost a comparison in C++ and no call.
CREATE TRIGGER dbnet_outside AFTER UPDATE ON dbnet.object FOR EACH ROW
    WHEN (OLD.resource_version IS DISTINCT FROM NEW.resource_version AND dbnet.is_owned_otherwise(OLD.managers, NEW.managers, NEW.claimed)
          OR NEW.live IS NULL AND OLD.live IS NOT NULL)
    EXECUTE FUNCTION dbnet.note_outside_change();
