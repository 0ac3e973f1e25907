-- Which updates of dbnet.object are looked at for changes by others: what is our own doing, or of the status, is none.
BEGIN;
SELECT no_plan();

SELECT is(dbnet.is_owned_otherwise(w.before::jsonb, w.after::jsonb, '{data.a,data.b}'), w.expected, w.name) FROM (VALUES
    ('{}', '{}', false, 'nobody owns anything'),
    ('{"data.a": ["kubectl", "1"]}', '{"data.a": ["kubectl", "1"]}', false, 'nothing has changed'),
    ('{}', '{"data.a": ["dbnet-0123456789abcdef", "1"]}', false, 'we set a field first'),
    ('{"data.a": ["dbnet-0123456789abcdef", "1"]}', '{"data.a": ["dbnet-0123456789abcdef", "2"]}', false, 'we set it again'),
    ('{"data.a": ["dbnet-0123456789abcdef", "1"]}', '{"data.a": ["kubectl", "2"]}', true, 'somebody else sets it'),
    ('{"data.a": ["kubectl", "1"]}', '{"data.a": ["dbnet-0123456789abcdef", "2"]}', true, 'we take it: who had it is known no other way'),
    ('{"data.a": ["dbnet-0123456789abcdef", "1"]}', '{"data.a": ["dbnet-fedcba9876543210", "2"]}', true, 'another database''s DBNet takes it'),
    ('{}', '{"data.c": ["dbnet-fedcba9876543210", "2"]}', true, 'or sets what we do not claim'),
    ('{"data.c": ["kubectl", "1"]}', '{"data.c": ["kubectl", "2"]}', true, 'somebody sets a field again'),
    ('{}', '{"data.a": ["dbnet-0123456789abcdef", "1"], "data.c": ["kubectl", "1"]}', true, 'among what we set'),
    ('{"data.a": ["dbnet-0123456789abcdef", "1"]}', '{}', true, 'a field that we claim is owned no more'),
    ('{"data.c": ["dbnet-0123456789abcdef", "1"]}', '{}', false, 'one that we have let go of'),
    ('{"data.c": ["kubectl", "1"]}', '{}', true, 'one of somebody else'),
    ('{"status.phase": ["kubelet", "1"]}', '{"status.phase": ["kubelet", "2"]}', false, 'what a device reports of itself'),
    ('{"status.phase": ["kubelet", "1"]}', '{}', false, 'and reports no more'),
    ('{"data.a": ["dbnet", "1"]}', '{"data.a": ["dbnet", "2"]}', true, 'a manager that only begins like ours')) AS w(before, after, expected, name);

SELECT * FROM finish();
ROLLBACK;
