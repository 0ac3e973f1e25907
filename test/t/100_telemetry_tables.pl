# Telemetry in tables beyond one session: writers at once, rolled back and killed ones, partitions that come and go, dumps.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('telemetry', conf => "max_prepared_transactions = 2\n");
my $counted = 'SELECT (SELECT count(*) FROM otel.spans) = coalesce((SELECT sum(count) FROM otel.span_pane WHERE rule = 0), 0)';

# A request of spans that ended at some moment (an SQL expression), of one of many resources.
$node->safe_psql('postgres', q{
    CREATE FUNCTION request(service text, spans integer, ended timestamptz) RETURNS jsonb LANGUAGE sql AS $$
        SELECT jsonb_build_object('resourceSpans', jsonb_build_array(jsonb_build_object(
            'resource', jsonb_build_object('attributes', jsonb_build_array(jsonb_build_object('key', 'service.name', 'value', jsonb_build_object('stringValue', service)))),
            'scopeSpans', jsonb_build_array(jsonb_build_object('spans', (SELECT jsonb_agg(jsonb_build_object('traceId', md5(random()::text), 'spanId', right(md5(random()::text), 16), 'name', 'n', 'kind', 2,
                'startTimeUnixNano', (extract(epoch FROM ended) * 1000000000)::bigint::text, 'endTimeUnixNano', (extract(epoch FROM ended) * 1000000000)::bigint::text)) FROM generate_series(1, spans)))))))
    $$;
    CREATE PROCEDURE send(first integer, number integer) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN first .. first + number - 1 LOOP
            PERFORM otel.ingest_traces(request('service ' || i % 50, 5, clock_timestamp()));
            COMMIT;
        END LOOP;
    END $$;
    CREATE TABLE acknowledged (spans integer);
    CREATE PROCEDURE send_and_note(number integer) LANGUAGE plpgsql AS $$
    BEGIN
        FOR i IN 1 .. number LOOP
            PERFORM otel.ingest_traces(request('killed', 5, clock_timestamp()));
            INSERT INTO acknowledged VALUES (5);
            COMMIT;
        END LOOP;
    END $$});

# --- writers at once, with the same resources that are new to all of them ---
my @writers = map { $node->background_psql('postgres', on_error_die => 1) } 1 .. 4;
$_->query_until(qr/begun/, "\\echo begun\nCALL send(1, 100);\n") for @writers;
$_->quit for @writers;
$node->query_is('SELECT count(*) FROM otel.spans', '2000', 'four writers at once: every span is there');
$node->query_is($counted, 't', 'and counted');
$node->query_is('SELECT count(*) FROM otel.resources', '50', 'every resource once');
$node->query_is('SELECT count(DISTINCT worker) > 1 FROM otel.span_pane', 't', 'each writer has panes of its own');

# --- ids are known only when they are committed ---
my $session = $node->background_psql('postgres', on_error_die => 1);
$session->query_safe(q{BEGIN; SELECT otel.ingest_traces(request('undone', 1, now())); ROLLBACK});
$session->query_safe(q{BEGIN; SAVEPOINT a; SELECT otel.ingest_traces(request('undone', 1, now())); ROLLBACK TO a; SELECT otel.ingest_traces(request('undone', 1, now())); COMMIT});
$session->query_safe(q{SELECT otel.ingest_traces(request('undone', 1, now()))});
$node->query_is(q{SELECT count(*) FROM otel.span WHERE service_name = 'undone'}, '2', 'a resource of a transaction that was rolled back is written anew');

# --- a prepared transaction holds its panes: nobody waits for it ---
$session->query_safe(q{BEGIN; SELECT otel.ingest_traces(request('prepared', 1, date_trunc('second', now()))); COMMIT});
$session->query_safe(q{BEGIN; SELECT otel.ingest_traces(request('prepared', 1, now())); PREPARE TRANSACTION 'one'});
$session->query_safe(q{SET statement_timeout = '30s'; SELECT otel.ingest_traces(request('prepared', 1, now()))});
$session->query_safe(q{COMMIT PREPARED 'one'});
$session->quit;
$node->query_is($counted, 't', 'counts are right with a prepared transaction');

# --- partitions: made when a time has none, one after the other where they change their length ---
$node->append_conf('postgresql.conf', "dbnet.telemetry_partition = 'hour'");
$node->reload;
$node->wait_for("SELECT setting = 'hour' FROM pg_settings WHERE name = 'dbnet.telemetry_partition'", 'partitions of an hour');
$node->safe_psql('postgres', q{SELECT otel.ingest_traces(request('rolled', 1, date_trunc('day', now()) - n * interval '30 minutes')) FROM generate_series(1, 96) AS n});
$node->query_is(q{SELECT count(*) FROM otel.span WHERE service_name = 'rolled'}, '96', 'two days of spans roll over partitions');
$node->query_is($counted, 't', 'and are counted');
my $overlap = q{SELECT count(*) FILTER (WHERE is_overlapping) FROM (SELECT from_time < lag(to_time) OVER (PARTITION BY relation ORDER BY from_time) AS is_overlapping FROM otel.partitions) AS neighbours};
$node->query_is($overlap, '0', 'no two partitions overlap');
$node->query_is(q{SELECT count(DISTINCT n), min(n) >= 48 FROM (SELECT relation, count(*) AS n FROM otel.partitions GROUP BY 1) AS all_of}, '1|t', 'all tables have the same');
$node->query_is(q{SELECT count(*) FROM otel.partitions AS p JOIN pg_depend AS d ON d.objid = p.partition AND d.deptype = 'e'}, $node->safe_psql('postgres', 'SELECT count(*) FROM otel.partitions'), 'each belongs to the extension');

# Two writers that miss the same one.
my @missing = map { $node->background_psql('postgres', on_error_die => 1) } 1 .. 2;
$missing[0]->query_safe(q{BEGIN; SELECT otel.ingest_traces(request('first', 1, now() - interval '5 days'))});
my ($code, undef, $error) = $node->psql('postgres', q{SELECT otel.ingest_traces(request('second', 1, now() - interval '5 days'))});
like($error, qr/lock timeout/, 'who misses a partition that another is making waits for 200 ms and is told') if $code != 0;
isnt($code, 0, 'and may try again');
$missing[0]->query_safe('COMMIT');
$node->psql_ok(q{SELECT otel.ingest_traces(request('second', 1, now() - interval '5 days'))}, 'then it is there');
$_->quit for @missing;

# --- retention ---
my $reader = $node->background_psql('postgres', on_error_die => 1);
$reader->query_safe('BEGIN; SELECT count(*) FROM otel.spans');
$node->append_conf('postgresql.conf', "dbnet.telemetry_retention = '36h'");
$node->reload;
$node->wait_for("SELECT setting = '2160' FROM pg_settings WHERE name = 'dbnet.telemetry_retention'", 'a shorter retention');
$node->psql_ok(q{SELECT otel.ingest_traces(request('meanwhile', 1, now()))}, 'while a reader holds partitions, telemetry comes in');
$node->query_is(q{SELECT count(*) > 0 FROM otel.partitions WHERE relation = 'otel.spans'::regclass AND to_time < now() - interval '36 hours'}, 't', 'what is being read stays');
$reader->query_safe('COMMIT');
$reader->quit;
$node->safe_psql('postgres', 'SELECT pg_reload_conf()');
$node->wait_for(q{SELECT count(*) = 0 FROM otel.partitions WHERE to_time < now() - interval '36 hours'}, 'then old partitions go');
$node->query_is($counted, 't', 'with what counts them');
$node->query_is(q{SELECT count(*) > 0 FROM otel.span WHERE service_name = 'rolled'}, 't', 'what is younger stays');
$node->safe_psql('postgres', q{UPDATE otel.resources SET last_seen = now() - interval '3 days' WHERE service_name IN ('first', 'service 1')});
$node->query_is('SELECT otel.remove_old_dimensions()', '2', 'resources that were not seen for longer go, too');
$node->psql_ok(q{SELECT otel.ingest_traces(request('first', 1, now()))}, 'one that comes back');
$node->query_is(q{SELECT count(*) FROM otel.span WHERE service_name = 'first'}, '1', 'is written anew');

# A partition that somebody's view needs stays, and holds up no other.
my $log_start = $node->log_position;
$node->safe_psql('postgres', q{BEGIN; SELECT otel.ensure_partitions(now() - interval '5 days', now() - interval '5 days');
    DO $$ BEGIN EXECUTE format('CREATE VIEW held AS SELECT name FROM %s',
        (SELECT partition FROM otel.partitions WHERE relation = 'otel.spans'::regclass ORDER BY from_time LIMIT 1)); END $$; COMMIT; SELECT pg_reload_conf()});
my $old = q{SELECT string_agg(relation || ': ' || coalesce(held_by, ''), ',') FROM otel.partitions WHERE to_time < now() - interval '36 hours'};
$node->wait_for($old, 'what a view depends on stays, and otel.partitions says so', expected => 'otel.spans: view held');
$node->wait_for_log(qr/DBNet: partitions of telemetry that are over are kept, because something depends on them: otel\.spans_\d+_\d+ \(view public\.held\)/, $log_start);
$node->safe_psql('postgres', 'SELECT pg_reload_conf()') for 1 .. 3;
$node->safe_psql('postgres', 'DROP VIEW held; SELECT pg_reload_conf()');
$node->wait_for($old, 'and goes with the view', expected => '');
my @told = $node->log_since($log_start) =~ /are kept, because something depends on them: (.*)/g;
like("@told", qr/^otel\.spans_\d+_\d+ \(view public\.held\)$/, 'the log tells it once');

# --- dump and restore, and the end of it ---
my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->safe_psql('postgres', q{INSERT INTO otel.pane_rule VALUES (3, 'traces', '{"kind": 2}', '{http.route}')});
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');
$node->query_is('SELECT count(*), (SELECT count(*) FROM otel.pane_rule) FROM otel.spans', '0|1', 'rules are restored, telemetry is not', database => 'copy');
$node->psql_ok(q{SELECT otel.ingest_traces(request('copy', 1, now()))}, 'the copy takes telemetry', database => 'copy');
$node->psql_ok('DROP EXTENSION dbnet', 'partitions do not hold the extension up', database => 'copy');

# --- killed while it writes: what was acknowledged is there, no more and no less ---
my $killed = $node->background_psql('postgres', on_error_stop => 0);
$killed->{stdin} .= "SET application_name = 'killed'; CALL send_and_note(100000);\n";
$killed->{run}->pump_nb;
$node->wait_for('SELECT count(*) > 50 FROM acknowledged', 'it writes');
kill KILL => $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = 'killed'");
$killed->{run}->kill_kill;
$node->wait_for('SELECT true', 'the server is back');
$node->query_is(q{SELECT count(*) = (SELECT sum(spans) FROM acknowledged) FROM otel.span WHERE service_name = 'killed'}, 't', 'what was committed is there');
$node->query_is($counted, 't', 'and counted');

$node->stop;
done_testing();
