# When: a change is on record with the moment of its commit, its statement with when it began and how long it ran, its
# transaction with when that began.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('when');
$node->safe_psql('postgres', q{CREATE SCHEMA net; CREATE TABLE net.nodes (name text PRIMARY KEY); SELECT dbnet.track('net.nodes');
    CREATE FUNCTION net.add(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN INSERT INTO net.nodes VALUES (name); END $$});
# The server's own clock, read around every step.
$node->query_is(q{
    SELECT clock_timestamp() AS start \gset
    BEGIN;
    SELECT now() AS began, clock_timestamp() AS asked \gset
    DO $$ BEGIN PERFORM net.add('a'); END $$;
    SELECT clock_timestamp() AS answered \gset
    COMMIT;
    SELECT clock_timestamp() AS committed \gset
    SELECT h.at = dbnet.event_time(v.id), dbnet.event_time(v.id) BETWEEN :'answered' AND :'committed', dbnet.event_time(t.id) = dbnet.event_time(v.id),
        t.started_at = :'began' AND t.started_at >= :'start', i.started_at >= c.started_at AND c.started_at >= s.started_at AND s.started_at >= :'asked',
        s.started_at + s.duration * interval '1 microsecond' <= :'answered', i.duration <= c.duration AND c.duration <= s.duration
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS i ON i.id = v.activity JOIN dbnet.activity AS c ON c.id = i.parent AND c.kind = 'C' JOIN dbnet.activity AS s ON s.id = c.parent AND s.kind = 'S'
    JOIN dbnet.transaction AS t ON t.id = i.transaction, dbnet.history('net.nodes', 'a') AS h;}, 't|t|t|t|t|t|t', 'each within the one around it, between the clock before and after');
$node->query_is(q{
    SELECT clock_timestamp() AS before \gset
    INSERT INTO net.nodes VALUES ('b');
    SELECT count(*), (SELECT count(*) FROM dbnet.as_of(NULL::net.nodes, :'before'::timestamptz)) FROM net.nodes}, '2|1', 'a moment before the commit the row was not there');
$node->no_crash_in_log;
$node->stop;
done_testing();
