# Policies where one does not look first: states that outlive the worker, changes of a policy while its action waits, owners that
# are gone or may not read any more what is measured, queries that say anything, very many groups, and a backtest beside what has really happened.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_edges');
my $policies = DBNet::Policies->new($node);
my $act = q{action => 'net.act(dbnet.policy_event)', mode => 'act'};
my $query = q{query => 'SELECT place, value, count FROM net.control WHERE place = ''%s''', every => '100 ms'};
# A query that ends with its worker is an error, and asked again by the next one.
sub decisions { my ($policy) = @_; return qq{SELECT string_agg(concat_ws(':', decision, reason), ' ' ORDER BY id) FROM dbnet.policy_event WHERE policy = '$policy' AND reason IS DISTINCT FROM 'error'} }
sub owner { my ($sql, $name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->psql_ok("SET ROLE policy_owner; $sql", $name) }
sub new_worker { return $node->replace_worker('policy worker', 'TERM') }

# Changes what net.control says while no worker looks: the next one begins with that.
sub change_between_workers {
    my ($sql) = @_;
    my $session = $node->background_psql('postgres', on_error_stop => 1);
    $session->query_safe('BEGIN; LOCK TABLE net.control');
    new_worker();
    $session->query_safe("$sql; COMMIT");
    $session->quit;
    return;
}

subtest 'a condition that holds for a while is known to the next worker' => sub {
    $policies->control(held => [5]);
    $policies->create(sprintf(qq{'held', 'query', threshold => 1, hold_time => '1 hour', $query, $act}, 'held'));
    $node->wait_for(q{SELECT state FROM dbnet.policy_status WHERE policy = 'held'}, 'pending', expected => 'pending');
    $node->psql_ok(q{UPDATE dbnet.policy_state SET since = now() - interval '2 hours' WHERE policy = 'held'}, 'as if for two hours');
    new_worker();
    $node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'held'}, 'acts', expected => '1');
    $policies->control(short => [5]);
    $policies->create(sprintf(qq{'short', 'query', threshold => 1, hold_time => '1 hour', $query, $act}, 'short'));
    $node->wait_for(q{SELECT state FROM dbnet.policy_status WHERE policy = 'short'}, 'another is pending', expected => 'pending');
    change_between_workers(q{UPDATE net.control SET value = 0 WHERE place = 'short'});
    $node->wait_for(decisions('short'), 'it has failed before its time', expected => 'not acting:hold time not reached');
};

subtest 'keep_firing_for begins when the condition is seen to fail' => sub {
    $policies->control(kept => [5]);
    $policies->create(sprintf(qq{'kept', 'query', threshold => 1, keep_firing_for => '1 hour', $query, $act}, 'kept'));
    $node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'kept'}, 'acts', expected => '1');
    # While nothing changes nothing is written.
    $node->psql_ok(q{UPDATE dbnet.policy_state SET held_at = now() - interval '2 hours', since = now() - interval '2 hours' WHERE policy = 'kept'}, 'it has fired for two hours');
    change_between_workers(q{UPDATE net.control SET value = 0 WHERE place = 'kept'});
    $node->wait_for(decisions('kept'), 'goes on firing', expected => 'act not acting:kept firing');
    $node->query_is(q{SELECT state, reason FROM dbnet.policy_status WHERE policy = 'kept'}, 'firing|kept firing', 'and says so');
};

subtest 'mirrors that are not fresh, and objects that settle' => sub {
    owner('CREATE TABLE net.read (name text PRIMARY KEY)', 'a table');
    $policies->control(reads => [5]);
    $policies->create(sprintf(qq{'reads', 'query', threshold => 1, repeat_interval => '100 ms', settle_interval => '1 hour', $query, $act}, 'absent'));
    $node->psql_ok(q{UPDATE dbnet.policy SET reads = '{net.read}', query = replace(query, 'absent', 'reads'), version = nextval('dbnet.generation') WHERE name = 'reads'}, 'reads it');
    $node->wait_for(decisions('reads'), 'nobody has heard from it', expected => 'not acting:stale mirror');
    my $api = DBNet::Api->start(controllers => 0);
    $node->psql_ok($api->create_server('prod') . 'GRANT USAGE ON FOREIGN SERVER prod TO policy_owner;'
          . sprintf(q{SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.read', '{"name": "metadata.name"}', namespace => '%s')}, $api->namespace), 'it is a mirror, and soon fresh');
    $node->wait_for(decisions('reads'), 'acts, and not again', expected => 'not acting:stale mirror act not acting:settling');
    $node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'reads'}, '1', 'once');
    owner(q{SELECT dbnet.drop_policy('reads')}, 'drop it');
    $node->psql_ok(q{SELECT dbnet.unmirror('net.read')}, 'and the mirror');
};

subtest 'what waits is not run in shadow mode, nor twice after it' => sub {
    owner(<<'SQL', 'an action that fails behind a gate');
CREATE TABLE net.gate (policy text PRIMARY KEY);
CREATE PROCEDURE net.guarded(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM net.gate AS g WHERE g.policy = event.policy) THEN RAISE 'not yet'; END IF;
    CALL net.act(event);
END $$;
INSERT INTO net.gate VALUES ('guarded'), ('dropped');
SQL
    my $guarded = q{action => 'net.guarded(dbnet.policy_event)', mode => 'act'};
    $policies->control(guarded => [5], dropped => [5]);
    $policies->create(sprintf(qq{'guarded', 'query', threshold => 1, $query, $guarded}, 'guarded'));
    $policies->create(sprintf(qq{'dropped', 'query', threshold => 1, $query, $guarded}, 'dropped'));
    $node->wait_for(qq{SELECT bool_and(attempts > 0 AND action_state = 'waiting') AND count(*) = 2 FROM dbnet.policy_event WHERE policy IN ('guarded', 'dropped')}, 'both fail and wait');
    owner(q{SELECT dbnet.alter_policy('guarded', mode => 'shadow')}, 'shadow');
    $node->query_is(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'guarded'}, 'failed|the policy no longer acts (mode shadow)', 'what waited is given up');
    owner(q{SELECT dbnet.drop_policy('dropped')}, 'another is dropped');
    $node->query_is(q{SELECT action_state, error FROM dbnet.policy_event WHERE policy = 'dropped'}, 'failed|the policy was dropped', 'what waited of it is given up, too');
    owner(q{DELETE FROM net.gate; SELECT dbnet.alter_policy('guarded', mode => 'act')}, 'acts again');
    $node->wait_for(q{SELECT string_agg(action_state, ' ' ORDER BY id) FROM dbnet.policy_event WHERE policy = 'guarded'}, 'on what still holds', expected => 'failed done');
    # Later events come after earlier ones: when this one is done nothing is left of them.
    $policies->control(guarded => [0]);
    $node->wait_for(decisions('guarded'), 'resolved', expected => 'act act resolved');
    $policies->control(guarded => [6]);
    $node->wait_for(q{SELECT string_agg(value::text, ' ' ORDER BY id) FROM net.done WHERE policy = 'guarded'}, 'once each time it fires', expected => '5 6');
    $node->query_is(q{SELECT count(*) FROM net.done WHERE policy = 'dropped'}, '0', 'nothing of the one that was dropped');
};

subtest 'queries say anything' => sub {
    owner(q{CREATE TABLE net.anything (place text, value float8, count float8); INSERT INTO net.anything VALUES
        ('huge', 5, 1e300), ('negative', 5, -1e300), ('none', 5, 'NaN'), ('infinite', 'Infinity', 'Infinity'), ('nan', 'NaN', 20), ('null', NULL, 20), ('twice', 0, 20), ('twice', 5, 20)}, 'rows');
    $policies->create(qq{'anything', 'query', threshold => 1, minimum_count => 10, query => 'SELECT place, value, count FROM net.anything ORDER BY ctid', every => '100 ms', $act});
    $node->wait_for(q{SELECT string_agg(place, ' ' ORDER BY place) FROM net.done WHERE policy = 'anything'}, 'large numbers are large', expected => 'huge infinite twice');
    $node->wait_for(q{SELECT string_agg(grouping ->> 'place', ' ' ORDER BY grouping ->> 'place') || '|' || min(reason) FROM dbnet.policy_event WHERE policy = 'anything' AND decision = 'not acting'},
        'others are none', expected => 'negative none|below minimum count');
    owner(q{SELECT dbnet.drop_policy('anything')}, 'drop it');
};

subtest 'times that are longer than anything' => sub {
    $policies->control(long => [5]);
    $policies->create(sprintf(qq{'long', 'query', threshold => 1, cooldown => '170000000 years', $query, $act}, 'long'));
    $node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'long'}, 'acts', expected => '1');
    $policies->control(long => [0]);
    $node->wait_for(decisions('long'), 'resolved', expected => 'act resolved');
    $policies->control(long => [5]);
    $node->wait_for(decisions('long'), 'cools down', expected => 'act resolved not acting:cooling down');
};

subtest 'an owner that is gone' => sub {
    $node->psql_ok(q{CREATE ROLE leaver; GRANT dbnet_admin TO leaver; CREATE SCHEMA leaver AUTHORIZATION leaver; GRANT SELECT ON net.control TO PUBLIC;
        SET ROLE leaver; CREATE PROCEDURE leaver.act(event dbnet.policy_event) LANGUAGE plpgsql AS 'BEGIN NULL; END';
        SELECT dbnet.create_policy('left', 'query', threshold => 1, query => 'SELECT 5 AS value', every => '100 ms', only_if => 'false', action => 'leaver.act(dbnet.policy_event)', mode => 'act')}, 'a policy of a role');
    $node->wait_for(decisions('left'), 'is evaluated', expected => 'not acting:only_if is false');
    $node->psql_ok('REASSIGN OWNED BY leaver TO postgres; DROP OWNED BY leaver; DROP ROLE leaver', 'the role is dropped');
    $node->wait_for(q{SELECT error FROM dbnet.policy_status WHERE policy = 'left' AND error <> ''}, 'nobody else runs its query', expected => 'the owner of the policy was dropped');
    $policies->spans(node => 'n1', errors => 50);
    $policies->create(qq{'others', 'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"node": "n1"}', $act});
    $node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'others'}, 'others go on', expected => '1');
    $node->psql_ok(q{SELECT dbnet.drop_policy('left')}, 'a superuser drops it');
};

subtest 'an owner that may not read any more what its policies measure' => sub {
    $node->psql_ok(q{CREATE ROLE reader; GRANT dbnet_admin TO reader; GRANT USAGE ON SCHEMA net TO reader; SET ROLE policy_owner;
        CREATE TABLE net.flaps (name text PRIMARY KEY, ready boolean); SELECT dbnet.track('net.flaps'); INSERT INTO net.flaps VALUES ('f1', true); GRANT SELECT ON net.flaps TO reader}, 'a role that reads telemetry and a table');
    my $secret = q{SELECT count(*) AS value FROM otel.spans AS s JOIN otel.resources AS r USING (resource_id) WHERE r.service_name = 'secret'};
    my $hour = q{time_window => '1 hour'};
    my %policies = (
        secret_flaps => qq{'transitions', aggregate => 'count', operator => '>=', threshold => 1, match => '{"relation": "net.flaps", "column": "ready"}', $hour},
        secret_logs => qq{'logs', aggregate => 'count', threshold => 1, match => '{"service_name": "secret"}', $hour},
        secret_metrics => qq{'metrics', aggregate => 'last', threshold => 1, match => '{"metric": "secret"}', $hour},
        secret_query => "'query', threshold => 1, query => \$\$$secret\$\$, every => '100 ms'",
        secret_spans => qq{'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "secret"}', $hour});
    my @names = sort keys %policies;
    for my $name (@names) {
        $node->psql_ok("SET ROLE reader; SELECT dbnet.create_policy('$name', $policies{$name})", "policy $name");
        $node->wait_for("SELECT state FROM dbnet.policy_status WHERE policy = '$name'", 'is evaluated', expected => 'inactive');
    }
    my $errors = q{SELECT policy || ': ' || coalesce(error, 'none') FROM dbnet.policy_status WHERE policy LIKE 'secret%' ORDER BY 1};
    my $acts = q{SELECT string_agg(policy || ':' || reason, ' ' ORDER BY policy, id) FROM dbnet.policy_event WHERE policy LIKE 'secret%' AND decision = 'act'};
    $node->psql_ok('REVOKE dbnet_admin FROM reader; REVOKE SELECT ON net.flaps FROM reader', 'it loses both');
    $policies->spans(service => 'secret', node => 's1', errors => 50);
    $node->psql_ok(<<'SQL', 'a change of the row, log records and a point');
UPDATE net.flaps SET ready = false;
WITH n AS (SELECT ((extract(epoch FROM now()) - 1) * 1000000000)::bigint AS at, '{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "secret"}}]}'::text AS resource)
SELECT otel.ingest_logs(format('{"resourceLogs": [%s, "scopeLogs": [{"logRecords": [{"timeUnixNano": %s}, {"timeUnixNano": %2$s}]}]}]}', n.resource, n.at)::jsonb),
    otel.ingest_metrics(format('{"resourceMetrics": [%s, "scopeMetrics": [{"metrics": [{"name": "secret", "gauge": {"dataPoints": [{"timeUnixNano": "%s", "asDouble": 5}]}}]}]}]}', n.resource, n.at)::jsonb)
    FROM n;
SQL
    my $grant = sub { "permission denied for tables $_[0]. The owner of the policy must be able to read what it measures: GRANT SELECT ON $_[0] TO reader; or GRANT dbnet_viewer TO reader;" };
    $node->wait_for($errors, 'each says what is missing, as the one with a query does', expected => join "\n",
        'secret_flaps: permission denied for table net.flaps. The owner of the policy must be able to read what it measures: GRANT SELECT ON net.flaps TO reader;',
        'secret_logs: ' . $grant->('otel.logs, otel.log_pane, otel.resources'),
        'secret_metrics: ' . $grant->('otel.number_points, otel.histogram_points, otel.exponential_histogram_points, otel.series, otel.metrics, otel.resources'),
        'secret_query: permission denied for table spans', 'secret_spans: ' . $grant->('otel.spans, otel.span_pane, otel.resources'));
    $node->psql_ok(q{SELECT dbnet.alter_policy('secret_spans', mode => 'shadow')}, 'that does not stand in the way of making it harmless');
    $node->query_is(q{SELECT string_agg(DISTINCT policy, ' ') FROM dbnet.policy_event WHERE policy LIKE 'secret%' AND decision = 'not acting' AND reason = 'error'}, "@names", 'so do the decisions');
    $node->query_is($acts, '', 'none decides on what its owner may not read');
    $node->psql_ok('GRANT dbnet_viewer TO reader; GRANT SELECT ON net.flaps TO reader', 'it may again');
    $node->wait_for($acts, 'all go on by themselves', expected => join ' ', map { "$_:shadow" } @names);
    $node->wait_for($errors, 'and nothing is wrong any more', expected => join "\n", map { "$_: none" } @names);
    $node->psql_ok(q{SELECT dbnet.drop_policy(name) FROM dbnet.policy WHERE owner = 'reader'::regrole}, 'drop them');
};

subtest 'very many groups at once hold up no other policy' => sub {
    my $many = 3000;
    $policies->create(q{'a_many', 'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "many"}', group_by => '{node}', time_window => '1 hour'});
    $policies->create(qq{'one', 'spans', aggregate => 'error_rate', threshold => 0.1, match => '{"service_name": "one"}', time_window => '1 hour', $act});
    $node->wait_for(q{SELECT count(*) FROM dbnet.policy_status WHERE policy = 'one' AND state = 'inactive'}, 'both are evaluated', expected => '1');
    $node->psql_ok(<<"SQL", 'spans of many nodes, and of one');
INSERT INTO otel.resources (hash, service_name, node, attributes, dropped_attributes_count)
    SELECT md5('many/' || n)::uuid, CASE n WHEN 0 THEN 'one' ELSE 'many' END, 'm' || n, '{}', 0 FROM generate_series(0, $many) AS n;
INSERT INTO otel.span_pane (bucket, count, error_count, duration_sum, duration_min, duration_max, rule, resource_id, kind, worker, grouping, durations)
    SELECT date_trunc('second', now()), 10, 10, 2e8, 20000000, 20000000, 0, resource_id, 2, 1, '{}', otel.sketch('{2e7}'::float8[]) FROM otel.resources WHERE service_name IN ('many', 'one');
SQL
    $node->wait_for(q{SELECT count(*) FROM net.done WHERE policy = 'one'}, 'the one acts', expected => '1');
    $node->wait_for(q{SELECT count(*) FROM dbnet.policy_event WHERE policy = 'a_many'}, 'all of the many are decided', expected => $many, timeout => 600);
    $node->query_is(qq{SELECT count(*) < $many FROM dbnet.policy_event AS m WHERE m.policy = 'a_many' AND m.id < (SELECT o.id FROM dbnet.policy_event AS o WHERE o.policy = 'one')}, 't', 'not before the one');
    $node->query_is(q{SELECT count(*), count(DISTINCT grouping), min(decision), max(reason) FROM dbnet.policy_event WHERE policy = 'a_many'}, "$many|$many|act|shadow", 'each once');
    owner(q{SELECT dbnet.drop_policy('a_many')}, 'drop it');
};

subtest 'a backtest says what has happened' => sub {
    my $start = $node->safe_psql('postgres', 'SELECT clock_timestamp()');
    $policies->create(q{'live', 'spans', aggregate => 'error_rate', threshold => 0.1, minimum_count => 20, match => '{"service_name": "live"}', group_by => '{node}', time_window => '15 s', hold_time => '2 s', keep_firing_for => '2 s'});
    my $of = sub { my ($place) = @_; return decisions('live') . " AND grouping ->> 'node' = '$place'" };
    $policies->spans(service => 'live', node => 'few', count => 5, errors => 5);
    $node->wait_for($of->('few'), 'too few', expected => 'not acting:below minimum count');
    $policies->spans(service => 'live', node => 'good');
    $policies->spans(service => 'live', node => 'bad', errors => 100);
    $node->wait_for($of->('bad'), 'bad for a while', expected => 'act:shadow');
    $node->wait_for($of->('bad'), 'and then no more', expected => 'act:shadow not acting:kept firing resolved');
    my $columns = q{grouping ->> 'node', string_agg(concat_ws(':', decision, %s, state, value, count), ' ' ORDER BY at)};
    my $really = $node->safe_psql('postgres', sprintf("SELECT $columns FROM dbnet.policy_event WHERE policy = 'live' GROUP BY 1 ORDER BY 1", q{nullif(reason, 'shadow')}));
    $node->query_is(sprintf("SELECT $columns FROM dbnet.backtest('live', '$start', clock_timestamp()) GROUP BY 1 ORDER BY 1", 'reason'), $really, 'the same decisions, with the same values');
    like($really, qr{^bad\|act:firing:1:100 }m, 'of what was sent');
};

owner('SELECT dbnet.drop_policy(name) FROM dbnet.policy', 'drop all');

subtest 'decisions go when they are older than what is on record, however many' => sub {
    $policies->create(sprintf(qq{'kept_on_record', 'query', threshold => 1, $query}, 'absent'));
    # Ids say when: of 2020, and of now. What waits for its action does so for as long as it takes.
    $node->psql_ok(q{INSERT INTO dbnet.policy_event (id, at, policy, policy_version, owner, grouping, decision, state, mode, action_state, next_attempt_at)
        SELECT dbnet.event_at(t.at) + n, t.at, 'kept_on_record', 1, 'policy_owner'::regrole, '{}', 'act', 'firing', 'act', t.action_state, 'infinity'
        FROM (VALUES (timestamptz '2020-01-01', 'done', 11000), ('2020-01-02', 'waiting', 2), ('2020-01-03', NULL, 3), (now() - interval '1 hour', 'done', 4)) AS t(at, action_state, count), generate_series(1, t.count) AS n},
        'decisions of years ago, and of this hour');
    new_worker();
    $node->wait_for(q{SELECT string_agg(concat_ws(' ', is_old, action_state, count), ', ' ORDER BY is_old)
        FROM (SELECT at < '2021-01-01' AS is_old, action_state, count(*) FROM dbnet.policy_event WHERE policy = 'kept_on_record' GROUP BY 1, 2) AS e},
        'what is old goes, in portions, but for what waits', expected => 'f done 4, t waiting 2');
    owner(q{SELECT dbnet.drop_policy('kept_on_record')}, 'drop it');
};

$node->no_crash_in_log;
done_testing();
