-- Views of mirrors. They run with the reader's own rights (security_invoker), so the policies of 99_grants.sql decide
-- which mirrors a reader sees.

CREATE VIEW dbnet.object_status WITH (security_invoker = true) AS
SELECT object.relation,
       CASE WHEN object.namespace = '' THEN object.name ELSE object.namespace || '/' || object.name END AS key,
       object.namespace,
       object.name,
       object.phase,
       COALESCE(meaning.waiting, false) AS waiting,
       COALESCE(meaning.needs_action, false) AS needs_action,
       object.health,
       object.health_message,
       object.message,
       object.reason,
       CASE WHEN object.phase = 'pending' THEN
           CASE object.reason
               WHEN 'Offline' THEN 'Nothing is sent while the server is offline: ALTER SERVER ... OPTIONS (SET offline ''false'') connects it.'
               WHEN 'ConnectionFailed' THEN 'Nothing: it is sent when the server can be reached; dbnet.check_server() tells more.'
               WHEN 'Timeout' THEN 'Nothing: it is sent when the server answers; dbnet.check_server() tells more.'
               WHEN 'Unauthorized' THEN 'Give credentials that the server accepts (ALTER USER MAPPING, or a new token in the file); it is sent then.'
               WHEN 'NotFound' THEN 'Create what is missing in the cluster (message says what), or delete the row; it is tried again until then.'
               WHEN 'Forbidden' THEN 'Nothing if the namespace is made again: it is sent then. Else delete the row.'
               WHEN 'SchemaChanged' THEN 'Mend what dbnet.refresh_schema() of the mirror shows; it is sent then, or when the schema is as it was.'
               WHEN 'RowUnreadable' THEN 'See to it that the row can be read: message says what went wrong. It is tried again until then.'
               ELSE meaning.next_step END
           WHEN object.phase = 'invalid' AND object.reason = 'Immutable'
               THEN 'The field can be set only when the object is made: write the old value back; or delete the row and, once the object is gone, insert it again; dbnet.alter_mirror(..., on_immutable => ''recreate'') does that for objects that DBNet created.'
           WHEN object.reason = 'RoleNotMapped'
               THEN 'Say which user of the cluster the role is with dbnet.map_role(), or set the server''s option impersonate to mapped; then call dbnet.retry().'
           WHEN object.reason = 'ImpersonationRefused'
               THEN 'Let the server''s credentials act as that user: apply in the cluster what dbnet.rbac() prints, then call dbnet.retry().'
           WHEN object.reason = 'LeftSelector'
               THEN 'The object exists, but does not match the mirror''s label selector: give it labels that match, in the row or in the cluster; or delete the row, which deletes the object.'
           WHEN object.reason = 'NewObjectRefused'
               THEN 'The object stays, for the server would refuse a new one: correct the row, or what message says and then call dbnet.retry(); or write the old value back.'
       ELSE meaning.next_step END AS next_step,
       object.attempts,
       object.next_attempt_at,
       object.claimed,
       object.created_by_us,
       object.controller,
       object.last_manager,
       object.uid,
       object.resource_version,
       object.commit_transaction AS transaction,
       object.commit_lsn,
       object.committer,
       object.changed_at
FROM dbnet.object
LEFT JOIN (VALUES
    ('pending',         true,  false, 'Nothing: it is sent soon.'),
    ('applying',        true,  false, 'Nothing: the answer is awaited.'),
    ('uncertain',       true,  false, 'Nothing: the answer was lost; the object is read again.'),
    ('deleting',        true,  false, 'Nothing: the deletion is under way.'),
    ('waiting_deleted', true,  false, 'The object is being deleted: if it does not go, look at its finalizers.'),
    ('fighting',        true,  false, 'Somebody else keeps changing the same fields: find last_manager, or set on_drift to report.'),
    ('conflict',        false, true,  'Another manager owns the fields: take them with dbnet.adopt(), change the value there, or give the claim up with dbnet.release().'),
    ('invalid',         false, true,  'Correct the row: the server refuses its values; message says which.'),
    ('denied',          false, true,  'Grant the right in the cluster (dbnet.check_server() lists what is missing), then call dbnet.retry().'),
    ('stale',           false, true,  'The object is not of the version that was expected: look at it, then call dbnet.expect() again, with version any to send the row whatever it is.'),
    ('held',            false, true,  'Decide with dbnet.approve() or dbnet.reject(); see dbnet.held.'),
    ('drifted',         false, true,  'Somebody else changed claimed fields (dbnet.fields() shows both): put the row''s values back with dbnet.adopt(), or accept theirs with dbnet.release().'),
    ('absent',          false, true,  'The object was deleted by somebody else: delete the row, or delete and insert it to create the object anew.'),
    ('report_failed',   false, true,  'The table does not take what the device reports, as message says (a constraint or trigger of its own, no room): mend it, then call dbnet.retry().')
) AS meaning(phase, waiting, needs_action, next_step) ON meaning.phase = object.phase;
COMMENT ON VIEW dbnet.object_status IS 'How each mirrored object stands: whether DBNet goes on by itself (waiting), you must act (needs_action), or all is done (neither)';
COMMENT ON COLUMN dbnet.object_status.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.object_status.key IS 'namespace/name, or name alone for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.object_status.namespace IS 'metadata.namespace; empty for cluster-scoped kinds';
COMMENT ON COLUMN dbnet.object_status.name IS 'metadata.name';
COMMENT ON COLUMN dbnet.object_status.phase IS 'pending, applying, synced, conflict, invalid, denied, stale, uncertain, deleting, waiting_deleted, held, fighting, drifted, absent, report_failed; NULL = observed, nothing was ever asked of it';
COMMENT ON COLUMN dbnet.object_status.waiting IS 'DBNet goes on by itself';
COMMENT ON COLUMN dbnet.object_status.needs_action IS 'nothing happens before somebody acts: next_step says how';
COMMENT ON COLUMN dbnet.object_status.health IS 'ready, in_progress, failed or terminating, by the rules of the kind';
COMMENT ON COLUMN dbnet.object_status.health_message IS 'why it is not ready, in the object''s own words where it has any; NULL = it is';
COMMENT ON COLUMN dbnet.object_status.message IS 'the server''s own words about the last failure, or ours';
COMMENT ON COLUMN dbnet.object_status.reason IS 'the server''s reason code of the last failure';
COMMENT ON COLUMN dbnet.object_status.next_step IS 'what to do';
COMMENT ON COLUMN dbnet.object_status.attempts IS 'failed attempts since the last success; in phase fighting: how often the object was put back';
COMMENT ON COLUMN dbnet.object_status.next_attempt_at IS 'when it is tried again; NULL = not by itself';
COMMENT ON COLUMN dbnet.object_status.claimed IS 'paths that users of this mirror have set and DBNet therefore owns';
COMMENT ON COLUMN dbnet.object_status.created_by_us IS 'the object exists because a row was inserted, or was adopted (dbnet.adopt)';
COMMENT ON COLUMN dbnet.object_status.controller IS 'kind/name of the controller ownerReference; such objects are never created nor enforced';
COMMENT ON COLUMN dbnet.object_status.last_manager IS 'field manager of the newest change seen';
COMMENT ON COLUMN dbnet.object_status.uid IS 'metadata.uid of the incarnation last seen';
COMMENT ON COLUMN dbnet.object_status.resource_version IS 'metadata.resourceVersion last seen';
COMMENT ON COLUMN dbnet.object_status.transaction IS 'transaction of the newest change acted upon';
COMMENT ON COLUMN dbnet.object_status.commit_lsn IS 'its commit in the WAL';
COMMENT ON COLUMN dbnet.object_status.committer IS 'role that committed the row as it was then; with option impersonate of the server it is sent as its user of the cluster';
COMMENT ON COLUMN dbnet.object_status.changed_at IS 'when the status was last written';

CREATE VIEW dbnet.mirror_status WITH (security_invoker = true) AS
SELECT mirror.relation,
       mirror.server,
       mirror.api_version,
       mirror.kind,
       mirror.namespace,
       mirror.label_selector,
       mirror.mode,
       state.state,
       state.message,
       COALESCE(mirror.paused_reason, paused.reason) AS paused_reason,
       state.listed,
       state.expected,
       objects.objects,
       objects.synced,
       objects.waiting,
       objects.needs_action,
       pg_catalog.now() - state.watch_since AS watch_age,
       pg_catalog.now() - state.last_event_at AS last_event_age,
       state.repaired,
       state.cluster
FROM dbnet.mirrored_relation AS mirror
JOIN dbnet.current_mirror_state AS state ON state.relation = mirror.relation
LEFT JOIN dbnet.paused_server AS paused ON paused.server = mirror.server
CROSS JOIN LATERAL (
    SELECT pg_catalog.count(*) FILTER (WHERE status.phase IS DISTINCT FROM 'absent') AS objects,
           pg_catalog.count(*) FILTER (WHERE NOT status.waiting AND NOT status.needs_action) AS synced,
           pg_catalog.count(*) FILTER (WHERE status.waiting) AS waiting,
           pg_catalog.count(*) FILTER (WHERE status.needs_action) AS needs_action
    FROM dbnet.object_status AS status WHERE status.relation = mirror.relation) AS objects;
COMMENT ON VIEW dbnet.mirror_status IS 'How each mirror stands; dbnet.worker says how far its worker is';
COMMENT ON COLUMN dbnet.mirror_status.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.mirror_status.server IS 'foreign server';
COMMENT ON COLUMN dbnet.mirror_status.api_version IS 'group/version, or version alone for the core group';
COMMENT ON COLUMN dbnet.mirror_status.kind IS 'kind of the objects';
COMMENT ON COLUMN dbnet.mirror_status.namespace IS 'the one namespace that is mirrored; NULL = all';
COMMENT ON COLUMN dbnet.mirror_status.label_selector IS 'only objects that match; empty = all';
COMMENT ON COLUMN dbnet.mirror_status.mode IS 'observe = import and follow, never write; manage = committed changes go to the server';
COMMENT ON COLUMN dbnet.mirror_status.state IS 'starting = first list not complete; synced; degraded = list, watch or connection fails, objects cannot be looked up or recorded, the kind''s schema has changed (see dbnet.refresh_schema), or no mirror worker is running (see dbnet.worker; a standby shows what the primary''s said); disarmed = this database is a copy, or another server of it writes: see message and dbnet.claim(); offline = the server has option offline, nobody connects to it';
COMMENT ON COLUMN dbnet.mirror_status.message IS 'what is wrong, in the server''s words where there are any';
COMMENT ON COLUMN dbnet.mirror_status.paused_reason IS 'why nothing is sent; NULL = not paused';
COMMENT ON COLUMN dbnet.mirror_status.listed IS 'objects seen by the running or last list';
COMMENT ON COLUMN dbnet.mirror_status.expected IS 'objects the server announced for that list; NULL = it did not say';
COMMENT ON COLUMN dbnet.mirror_status.objects IS 'objects known to exist or to be created';
COMMENT ON COLUMN dbnet.mirror_status.synced IS 'objects that are as their rows say, or that were only observed';
COMMENT ON COLUMN dbnet.mirror_status.waiting IS 'objects with which DBNet goes on by itself';
COMMENT ON COLUMN dbnet.mirror_status.needs_action IS 'objects that wait for somebody';
COMMENT ON COLUMN dbnet.mirror_status.watch_age IS 'how long the running watch is open; NULL = none is running';
COMMENT ON COLUMN dbnet.mirror_status.last_event_age IS 'time since the last sign of life of the watch';
COMMENT ON COLUMN dbnet.mirror_status.repaired IS 'objects of which the watch had not told what they had become, as a compare found (dbnet.compare_interval)';
COMMENT ON COLUMN dbnet.mirror_status.cluster IS 'uid of the cluster''s namespace kube-system, by which a server that leads to another cluster is told; NULL = it may not be read';

CREATE VIEW dbnet.held WITH (security_invoker = true) AS
SELECT pg_catalog.min(id)::text AS id,
       relation,
       operation,
       transaction,
       pg_catalog.min(reason) AS reason,
       pg_catalog.count(*) AS objects,
       (pg_catalog.array_agg(CASE WHEN namespace = '' THEN name ELSE namespace || '/' || name END ORDER BY id))[1:10] AS first_keys,
       pg_catalog.min(since) AS since
FROM dbnet.held_change
WHERE decision IS NULL
GROUP BY relation, operation, transaction;
COMMENT ON VIEW dbnet.held IS 'Changes that wait for dbnet.approve(id) or dbnet.reject(id): what one transaction did to one mirror in one way. Creates are never held';
COMMENT ON COLUMN dbnet.held.id IS 'for dbnet.approve and dbnet.reject';
COMMENT ON COLUMN dbnet.held.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.held.operation IS 'apply | delete, or what was asked for: cordon | uncordon | evict | drain | restart';
COMMENT ON COLUMN dbnet.held.transaction IS 'transaction that made the changes; NULL = found by a compare';
COMMENT ON COLUMN dbnet.held.reason IS 'which limit or rule held them';
COMMENT ON COLUMN dbnet.held.objects IS 'number of objects';
COMMENT ON COLUMN dbnet.held.first_keys IS 'keys of the first ten';
COMMENT ON COLUMN dbnet.held.since IS 'when the first was held';

CREATE VIEW dbnet.warnings WITH (security_invoker = true) AS
SELECT relation,
       warning,
       pg_catalog.count(*) AS calls,
       (pg_catalog.array_agg(CASE WHEN namespace = '' THEN name ELSE namespace || '/' || name END ORDER BY at DESC))[1] AS last_key,
       pg_catalog.min(at) AS first_at,
       pg_catalog.max(at) AS last_at
FROM dbnet.actuation, pg_catalog.unnest(warnings) AS warning
WHERE warnings IS NOT NULL
GROUP BY relation, warning;
COMMENT ON VIEW dbnet.warnings IS 'What servers have warned of while they did as asked, as deprecated versions of kinds: each text once for each mirror, out of dbnet.actuation';
COMMENT ON COLUMN dbnet.warnings.relation IS 'the mirror';
COMMENT ON COLUMN dbnet.warnings.warning IS 'the server''s words';
COMMENT ON COLUMN dbnet.warnings.calls IS 'number of calls that were answered with it';
COMMENT ON COLUMN dbnet.warnings.last_key IS 'object of the last one';
COMMENT ON COLUMN dbnet.warnings.first_at IS 'when it came first';
COMMENT ON COLUMN dbnet.warnings.last_at IS 'when it came last';
