# Rows that take long to read, for their size or for a cast: what does not fit into dbnet.report_statement_timeout together
# is read in smaller parts. A row that does not fit alone is told of in its own record, and keeps no other waiting, neither
# for what was committed nor for what a compare finds.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('slow_rows', conf => "dbnet.report_statement_timeout = '2s'");
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $space = $api->namespace;
my $selector = DBNet::Api::quote($api->selector);
my $labels = DBNet::Api::quote(JSON::PP->new->canonical->encode($api->labels));
my $maps = "/api/v1/namespaces/$space/configmaps";
my $unread = qr/could not be read/;

# Three rows of 'slow' take longer than the limit, and two do not.
$node->psql_ok(<<"SQL", 'a mirror whose column is slow to read');
SELECT dbnet.unmirror('net.configs');
CREATE TYPE net.pace AS ENUM ('quick', 'slow', 'endless');
CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb DEFAULT $labels, pace net.pace DEFAULT 'slow', value text DEFAULT 'first');
CREATE FUNCTION net.to_json(net.pace) RETURNS json LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM pg_sleep(CASE \$1 WHEN 'slow' THEN 0.8 WHEN 'endless' THEN 3600 ELSE 0 END);
    RETURN to_json(\$1::text);
END \$\$;
CREATE CAST (net.pace AS json) WITH FUNCTION net.to_json(net.pace);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', label_selector => $selector, mode => 'manage',
    columns => '{"name": "metadata.name", "labels": "metadata.labels", "pace": "data.pace", "value": "data.value"}');
SQL
$mirrors->wait_listed;

sub sent {
    my ($value) = @_;
    return "SELECT count(*) FROM dbnet.object WHERE relation = 'net.maps'::regclass AND phase = 'synced' AND live->'data'->>'value' = '$value'";
}

# --- what was committed together does not fit together ---
$node->psql_ok(q{INSERT INTO net.maps (name) SELECT to_char(n, '"map-"FM00') FROM generate_series(1, 9) AS n}, 'rows that do not fit together');
$node->wait_for(sent('first'), 'all of them are sent', expected => 9);
is((grep { $_ =~ $unread } split /\n/, $node->log_since), 0, 'and none was refused');

# --- one that does not fit alone ---
$node->psql_ok(q{UPDATE net.maps SET value = 'second', pace = CASE name WHEN 'map-05' THEN 'endless' ELSE 'quick' END::net.pace}, 'one row is too slow by itself');
$node->wait_for(sent('second'), 'the others are sent', expected => 8);
$node->wait_for(q{SELECT phase, reason, waiting, message FROM dbnet.object_status WHERE relation = 'net.maps'::regclass AND name = 'map-05' AND attempts > 0},
    'its record says why it is not', expected => 'pending|RowUnreadable|t|the row could not be read: canceling statement due to statement timeout. ' .
    'One row may take dbnet.report_statement_timeout, its columns\' casts included.');
$node->query_is(q{SELECT last_error FROM dbnet.worker WHERE process = 'mirror worker'},
    "row $space/map-05 of net.maps could not be read: canceling statement due to statement timeout", 'and the worker');
$node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('1 s', 'net.maps')}, "$space/map-05|pending", 'wait_synced names it');
is($api->get("$maps/map-05")->{body}{data}{value}, 'first', 'the object is as it was');

# --- a compare meets it as well ---
$node->psql_ok(q{SELECT dbnet.pause('net.maps', 'for a while')}, 'paused');
$node->psql_ok(q{UPDATE net.maps SET value = 'third', pace = CASE WHEN name < 'map-05' THEN 'slow' ELSE 'quick' END::net.pace WHERE name <> 'map-05'}, 'changes that nobody takes');
$node->replace_worker('mirror worker', 'KILL');
$node->psql_ok(q{SELECT dbnet.resume('net.maps')}, 'that a new worker is to find');
$node->wait_for(sent('third'), 'a compare finds them', expected => 8);

$node->query_is(q{SELECT key, phase FROM dbnet.wait_synced('1 s', 'net.maps')}, "$space/map-05|pending", 'and wait_synced names the one that is left');

$node->psql_ok(q{UPDATE net.maps SET value = 'fourth', pace = 'quick'}, 'mended');
$node->query_is(q{SELECT * FROM dbnet.wait_synced('60 s', 'net.maps')}, '', 'settled');
$node->query_is(sent('fourth'), '9', 'and sent');

$node->no_crash_in_log(except => qr/dbnet mirror worker.*was terminated by signal 9/);
done_testing();
