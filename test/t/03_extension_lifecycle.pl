# CREATE, DROP and ALTER EXTENSION: the worker follows the committed state, at once.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('extension', extension => 0, conf => 'max_prepared_transactions = 5');
my $workers = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker'};
my $drop = 'DROP EXTENSION dbnet CASCADE';

sub running { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, $name, expected => 'running') }
sub none { my ($name) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->wait_for($workers, $name, expected => '0') }

$node->safe_psql('postgres', 'BEGIN; CREATE EXTENSION dbnet; ROLLBACK');
none('a rolled back CREATE EXTENSION leaves no worker');
my $early = $node->background_psql('postgres', on_error_die => 1);
$early->query_safe(q{CREATE FUNCTION count_up(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN n + 1; END'});
$early->query_safe('SELECT count_up(1)');
$node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
running('CREATE EXTENSION starts one');
$node->psql_ok(q{SELECT dbnet.track_function('count_up(int)')}, 'every call of a function is asked for');
$early->query_safe('SELECT count_up(2)');
$early->quit;
$node->query_is(q{SELECT arguments FROM dbnet.activity WHERE name = 'public.count_up(integer)'}, '{"n": 2}', 'a session that has called it before the extension was made knows');
my $pid = $node->worker_pid('mirror worker');
$node->safe_psql('postgres', "BEGIN; $drop; ROLLBACK");
is($node->worker_pid('mirror worker'), $pid, 'a rolled back DROP EXTENSION leaves it running');
$node->safe_psql('postgres', "BEGIN; SAVEPOINT s; $drop; ROLLBACK TO s; COMMIT");
is($node->worker_pid('mirror worker'), $pid, 'so does one undone by a savepoint');
$node->psql_ok($drop, 'DROP EXTENSION');
none('ends it');
$node->psql_ok($drop =~ s/EXTENSION/EXTENSION IF EXISTS/r, 'DROP EXTENSION of none');

# Again and again, without pause.
for my $turn (1 .. 10) {
    $node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
    $node->safe_psql('postgres', $drop);
}
none('created and dropped ten times: none is left');
for my $turn (1 .. 5) {
    $node->safe_psql('postgres', "$drop") if $turn > 1;
    $node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
}
running('dropped and created five times: one runs');
is($node->safe_psql('postgres', $workers), '1', 'and only one');
$node->safe_psql('postgres', "BEGIN; $drop; CREATE EXTENSION dbnet; COMMIT");
running('dropped and created in one transaction: one runs');
$node->query_is(q{SELECT coalesce(last_error, 'none') FROM dbnet.worker WHERE process = 'mirror worker'}, 'none', 'without an error');

# Other ways to drop it, and prepared transactions.
$node->safe_psql('postgres', "DO \$\$ BEGIN EXECUTE '$drop'; END \$\$");
none('dropped inside a function');
$node->safe_psql('postgres', "BEGIN; CREATE EXTENSION dbnet; PREPARE TRANSACTION 'create'");
none('a prepared CREATE EXTENSION starts none');
$node->safe_psql('postgres', "COMMIT PREPARED 'create'");
running('COMMIT PREPARED does');

# DROP EXTENSION does not wait for the worker's transactions for ever, nor the worker for a DROP that rolls back.
my $session = $node->background_psql('postgres');
$session->query_safe("BEGIN; $drop");
$pid = $node->safe_psql('postgres', q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker'});
$node->wait_for("SELECT count(*) FROM pg_locks WHERE pid = $pid AND NOT granted AND clock_timestamp() - waitstart > '500 ms'",
    'the worker waits for an undecided DROP EXTENSION, longer than for other locks', expected => 1);
$session->query_safe('ROLLBACK');
$session->quit;
is($node->worker_pid('mirror worker'), $pid, 'an undecided DROP EXTENSION does not end the worker');

# --- another version than the library's ---
my $position = $node->log_position;
$node->safe_psql('postgres', q{UPDATE pg_extension SET extversion = '0.0' WHERE extname = 'dbnet'});
kill('TERM', $pid);
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'a worker that finds another version idles', expected => 'idle');
$node->query_is(q{SELECT last_error FROM dbnet.worker WHERE process = 'mirror worker'},
    'DBNet: the extension has version 0.0, the loaded library version 0.1; the worker does nothing', 'and says why');
my $idle = $node->log_position;
$node->reload;
$node->safe_psql('postgres', 'SELECT 1');
unlike($node->log_since($idle), qr/DBNet: the extension has version 0\.0/, 'once in the log');
like($node->log_since($position), qr/HINT:  Run ALTER EXTENSION dbnet UPDATE, or restart the server/, 'with a hint');
# Any ALTER EXTENSION tells it to look again; a real update script would do the same.
$node->safe_psql('postgres', q{BEGIN; UPDATE pg_extension SET extversion = '0.1' WHERE extname = 'dbnet';
    CREATE TABLE public.member (); ALTER EXTENSION dbnet ADD TABLE public.member; COMMIT});
running('it goes on when ALTER EXTENSION has brought the version of the library');

$node->no_crash_in_log;
done_testing();
