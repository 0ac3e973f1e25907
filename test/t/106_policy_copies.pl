# Policies in copies of a database: pg_dump carries policies, what they look at and what they decided; a copy decides and
# records, and does not act before dbnet.claim(); nothing that waited in the original is done in the copy.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Policies;
use Test::More;

my $node = DBNet::Cluster->started('policy_copies');
my $policies = DBNet::Policies->new($node);
$policies->control(a => [5], b => [5]);
$policies->create(q{'acts', 'query', threshold => 1, query => 'SELECT place, value FROM net.control', every => '100 ms', action => 'net.act(dbnet.policy_event)', mode => 'act'});
$policies->create(q{'routes', 'spans', aggregate => 'error_rate', threshold => 0.5, group_by => '{http.route}', match => '{"http.method": "GET"}'});
$node->wait_for(q{SELECT string_agg(place, '' ORDER BY place) FROM net.done}, 'the original acts', expected => 'ab');
# An action that cannot be done: it waits.
$node->psql_ok(q{SET ROLE policy_owner; CREATE TABLE net.broken (); ALTER TABLE net.done ADD CHECK (place <> 'c')}, 'something is in the way');
$policies->control(c => [5]);
$node->wait_for(q{SELECT action_state FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c' AND attempts > 0}, 'an action waits', expected => 'waiting');

my $dump = PostgreSQL::Test::Utils::tempdir() . '/dump';
$node->command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-h', $node->host, '-p', $node->port, 'postgres' ], 'pg_dump');
$node->psql_ok(q{SELECT dbnet.disable_policy('acts')}, 'the original rests');
$node->psql_ok('CREATE DATABASE copy', 'another database');
$node->command_ok([ 'pg_restore', '-e', '-d', 'copy', '-h', $node->host, '-p', $node->port, $dump ], 'pg_restore');
my @copy = (database => 'copy');

# What the dump has.
my $columns = q{SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'dbnet.policy'::regclass AND attnum > 0};
for my $what ("to_jsonb(p) - 'enabled' - 'version' FROM dbnet.policy AS p", "rule, signal, match, group_by FROM otel.pane_rule", 'last_value FROM dbnet.policy_number') {
    my $all = $node->psql_ok("SELECT $what ORDER BY 1", "$what of the original");
    $node->query_is("SELECT $what ORDER BY 1", $all, 'is as in the original', @copy);
}
$node->query_is(q{SELECT string_agg(grouping ->> 'place' || ' ' || action_state, ', ' ORDER BY id) FROM dbnet.policy_event WHERE action_state <> 'shadow'}, 'a done, b done', 'what was decided, but for what waits', @copy);

# The copy decides and does not act.
my $decided = q{SELECT grouping ->> 'place', decision, reason, mode, action_state FROM dbnet.policy_event WHERE action_state = 'shadow' ORDER BY 1};
$node->wait_for($decided, 'the copy decides anew, in shadow', expected => join("\n", map { "$_|act|shadow|shadow|shadow" } qw(a b c)), @copy);
$node->query_is(q{SELECT DISTINCT policy, mode FROM dbnet.policy_status ORDER BY 1}, "acts|copy\nroutes|shadow", 'and the view says why', @copy);
$node->query_is('SELECT count(*) FROM net.done', '2', 'nothing is done', @copy);
my ($code, $out, $error) = $node->psql('copy', q{SET ROLE policy_owner; SELECT dbnet.alter_policy('acts', mode => 'act')});
like($error, qr/WARNING:  this database is a copy: no policy of it acts\nHINT:  If it takes the original's place, run SELECT dbnet.claim\(\);/, 'who makes one act is told');

# It takes the original's place. What is seen while the transaction that claims is under way is not decided in shadow once
# more: another policy, which decides every two seconds, shows that there was time to.
$node->psql_ok(q{ALTER TABLE net.done DROP CONSTRAINT done_place_check}, 'nothing is in the way', @copy);
$node->psql_ok(q{SET ROLE policy_owner; SELECT dbnet.create_policy('watches', 'query', threshold => 1, query => 'SELECT place, value FROM net.control', every => '2 s')}, 'a policy that watches', @copy);
my $claim = $node->background_psql('copy');
$claim->query_safe('BEGIN; SELECT dbnet.claim()');
for my $place (qw(d e)) {
    $node->psql_ok("INSERT INTO net.control VALUES ('$place', 5)", $place, @copy);
    $node->wait_for("SELECT count(*) FROM dbnet.policy_event WHERE policy = 'watches' AND grouping ->> 'place' = '$place'", 'is seen', expected => '1', @copy);
}
$claim->query_safe('COMMIT');
$claim->quit;
$node->wait_for(q{SELECT string_agg(place, '' ORDER BY id) FROM net.done WHERE id > 2}, 'what still holds is done', expected => 'abcde', @copy);
$node->query_is(q{SELECT DISTINCT policy, mode FROM dbnet.policy_status ORDER BY 1}, "acts|act\nroutes|shadow\nwatches|shadow", 'as the policies say', @copy);

# A copy that has what waits: made from a template.
$node->psql_ok('DROP DATABASE copy', 'drop the copy');
$node->psql_ok(q{UPDATE dbnet.policy_event SET next_attempt_at = now() + interval '1 hour' WHERE action_state = 'waiting'; SELECT dbnet.enable_policy('acts')}, 'an action waits');
$node->query_is(q{SELECT action_state FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c'}, 'waiting', 'in the original');
$node->psql_ok(q{CREATE DATABASE copy TEMPLATE postgres}, 'a copy, from another database', database => 'template1');
$node->query_is(q{SELECT mode FROM dbnet.policy_status WHERE policy = 'acts' LIMIT 1}, 'copy', 'is a copy', @copy);
$node->psql_ok('SELECT dbnet.claim()', 'claim', @copy);
$node->query_is(q{SELECT action_state, error FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c'}, 'failed|was decided before dbnet.claim() in this copy', 'what waited is not done', @copy);
$node->query_is(q{SELECT action_state FROM dbnet.policy_event WHERE grouping ->> 'place' = 'c'}, 'waiting', 'in the original it is');

# An action that runs is not in the way of DROP DATABASE.
$node->psql_ok(q{SET ROLE policy_owner; CREATE PROCEDURE net.sleep(event dbnet.policy_event) LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1000); END';
    SELECT dbnet.create_policy('sleeps', 'query', threshold => 1, query => 'SELECT 5 AS value', every => '100 ms', action => 'net.sleep(dbnet.policy_event)', mode => 'act', action_timeout => '10 minutes')}, 'an action that takes long', @copy);
$node->wait_for(q{SELECT count(*) FROM pg_stat_activity WHERE datname = 'copy' AND backend_type = 'dbnet policy action' AND query LIKE 'policy sleeps%' AND wait_event = 'PgSleep'}, 'runs', expected => '1');
$node->psql_ok('DROP DATABASE copy', 'its database is dropped');
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet policy action' AND query LIKE 'policy sleeps%'}, '0', 'and it has ended');
$node->no_crash_in_log;
done_testing();
