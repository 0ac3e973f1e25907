-- What DBNet tracks of itself: who configured what. Mirrors are added by dbnet.mirror(). Numbers below 100 are the same in every
-- database, so these lines are not dumped.

INSERT INTO dbnet.tracked_relation (number, relation, schema_name, table_name, key_columns)
SELECT number, ('dbnet.' || name)::regclass, 'dbnet', name, key_columns
FROM (VALUES (1, 'mirrored_relation', ARRAY['relation']::name[]), (2, 'mirrored_column', ARRAY['relation', 'column_name']),
             (3, 'paused_server', ARRAY['server']), (4, 'arming', ARRAY['singleton']), (5, 'held_change', ARRAY['id']),
             (6, 'ownership_request', ARRAY['id']), (7, 'tracked_relation', ARRAY['number']), (8, 'tracked_function', ARRAY['function']))
     AS own (number, name, key_columns);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['mirrored_relation', 'mirrored_column', 'paused_server', 'arming', 'held_change', 'ownership_request',
                                'tracked_relation', 'tracked_function'] LOOP
        -- Of what is held only the decisions: the worker holds, and forgets.
        EXECUTE pg_catalog.format('CREATE TRIGGER dbnet_track AFTER %s ON dbnet.%I FOR EACH ROW EXECUTE FUNCTION dbnet.track_row()',
                                  CASE name WHEN 'held_change' THEN 'UPDATE' ELSE 'INSERT OR UPDATE OR DELETE' END, name);
        EXECUTE pg_catalog.format('ALTER TABLE dbnet.%I ENABLE ALWAYS TRIGGER dbnet_track', name);
    END LOOP;
END
$$;

CREATE FUNCTION dbnet.follow_renamed() RETURNS event_trigger
    LANGUAGE c SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'dbnet_follow_renamed';
COMMENT ON FUNCTION dbnet.follow_renamed() IS
    'Event trigger: dbnet.tracked_relation has the names that tables have now, and new partitions of tracked tables tell of their TRUNCATE';
CREATE EVENT TRIGGER dbnet_follow_renamed ON ddl_command_end
    WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'ALTER SCHEMA')
    EXECUTE FUNCTION dbnet.follow_renamed();
ALTER EVENT TRIGGER dbnet_follow_renamed ENABLE ALWAYS;
