-- Versions of a row are on record in the order in which it changed, whatever the names of triggers: histories, as_of and undo
-- build on it.
SELECT no_plan();
CREATE SCHEMA net;
CREATE TABLE net.again (id int PRIMARY KEY, a int);
CREATE TABLE net.parent (id int PRIMARY KEY, a int);
CREATE TABLE net.child (id int PRIMARY KEY REFERENCES net.parent);
SELECT lives_ok(format('SELECT dbnet.track(%L)', name), name) FROM unnest(ARRAY['net.again', 'net.parent', 'net.child']) AS tracked(name);

-- A trigger that fires before ours and changes the row again.
CREATE FUNCTION net.count_up() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.a < 5 THEN
        UPDATE net.again SET a = NEW.a + 1 WHERE id = NEW.id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER a_count_up AFTER UPDATE ON net.again FOR EACH ROW EXECUTE FUNCTION net.count_up();
INSERT INTO net.again VALUES (1, 1);
UPDATE net.again SET a = 2;
SELECT results_eq($$SELECT old, new FROM dbnet.history('net.again', '1') WHERE operation = 'UPDATE'$$,
    $$VALUES ('{"a": 4}'::jsonb, '{"a": 5}'::jsonb), ('{"a": 3}', '{"a": 4}'), ('{"a": 2}', '{"a": 3}'), ('{"a": 1}', '{"a": 2}')$$, 'the newest first');
SELECT results_eq($$SELECT * FROM dbnet.as_of('net.again'::regclass, (SELECT min(event) FROM dbnet.history('net.again', '1')))$$, $$VALUES ('{"a": 1, "id": 1}'::jsonb)$$, 'as it was before all of them');
SELECT results_eq($$SELECT kind, depth, what FROM dbnet.why_steps((SELECT max(event) FROM dbnet.history('net.again', '1'))) WHERE kind IN ('row', 'who') AND depth < 4 AND kind = 'row'$$,
    $$VALUES ('row', 0, 'UPDATE net.again 1: a 4 → 5'), ('row', 1, 'UPDATE net.again 1: a 3 → 4'), ('row', 2, 'UPDATE net.again 1: a 2 → 3'), ('row', 3, 'UPDATE net.again 1: a 1 → 2')$$, 'each because of the one before');

-- A trigger of one row that changes another row of the same statement, whose own trigger has not fired yet.
CREATE FUNCTION net.change_other() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = 1 THEN
        UPDATE net.parent SET a = 10 WHERE id = 2;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER z_change_other AFTER UPDATE ON net.parent FOR EACH ROW EXECUTE FUNCTION net.change_other();
INSERT INTO net.parent VALUES (1, 1), (2, 2);
UPDATE net.parent SET a = a + 1;
SELECT results_eq($$SELECT old, new FROM dbnet.history('net.parent', '2') WHERE operation = 'UPDATE'$$,
    $$VALUES ('{"a": 3}'::jsonb, '{"a": 10}'::jsonb), ('{"a": 2}', '{"a": 3}')$$, 'the statement''s own change is the older one');
SELECT set_eq($$SELECT * FROM dbnet.as_of('net.parent'::regclass, (SELECT min(event) FROM dbnet.history('net.parent', '1')))$$,
    $$VALUES ('{"a": 1, "id": 1}'::jsonb), ('{"a": 2, "id": 2}')$$, 'as they were before the statement');

-- What a trigger before ours inserts comes after the row that fired it: undo takes the child back first.
CREATE FUNCTION net.add_child() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.child VALUES (NEW.id);
    RETURN NULL;
END
$$;
CREATE TRIGGER a_add_child AFTER INSERT ON net.parent FOR EACH ROW EXECUTE FUNCTION net.add_child();
INSERT INTO net.parent VALUES (3, 3);
SELECT results_eq($$SELECT depth, kind, what FROM dbnet.impact_steps((SELECT event FROM dbnet.history('net.parent', '3')))$$,
    $$VALUES (0, 'row', 'INSERT net.parent 3: a 3'), (1, 'trigger', 'a_add_child on net.parent, after insert'),
             (2, 'statement', 'INSERT INTO net.child VALUES (NEW.id) (line 3)'), (3, 'row', 'INSERT net.child 3')$$, 'impact goes from the parent to the child');
SELECT results_eq($$SELECT relation::text, outcome FROM dbnet.undo(transaction => (SELECT transaction FROM dbnet.history('net.parent', '3')), dry_run => false)$$,
    $$VALUES ('net.child', 'done'), ('net.parent', 'done')$$, 'undo goes the other way');
SELECT is_empty('SELECT FROM dbnet.gaps()', 'no gaps');
SELECT is_empty('SELECT FROM dbnet.verify()', 'the chain holds');
SELECT * FROM finish();
