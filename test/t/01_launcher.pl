# The launcher: a mirror worker in every database that has the extension, none elsewhere, again after any end.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('launcher', extension => 0);
my $workers = q{SELECT coalesce(string_agg(datname, ' ' ORDER BY datname), '') FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker'};
my $launcher = q{SELECT pid FROM pg_stat_activity WHERE backend_type = 'dbnet launcher'};

# --- nothing unasked ---
$node->wait_for("SELECT count(*) = 1 FROM ($launcher) AS running", 'the launcher runs');
$node->wait_for($workers, 'no worker without the extension', expected => '');
is($node->log_since(0) =~ /dbnet mirror worker.*(FATAL|ERROR)/ ? 'error' : 'quiet', 'quiet', 'looking at databases logs nothing');

# --- with the extension ---
$node->safe_psql('postgres', 'CREATE EXTENSION dbnet');
my $pid = $node->worker_pid('mirror worker');
$node->wait_for(q{SELECT string_agg(concat_ws(' ', process, state, pid IS NOT NULL, since <= now(), last_error IS NULL, restarts), ', ' ORDER BY process) FROM dbnet.worker},
    'dbnet.worker shows both', expected => 'launcher running t t t 0, mirror worker running t t t 0');
$node->query_is(q{SELECT w.pid = a.pid FROM dbnet.worker AS w, pg_stat_activity AS a WHERE w.process = 'mirror worker' AND a.backend_type = 'dbnet mirror worker'}, 't', 'with the pid of pg_stat_activity');
$node->safe_psql('postgres', "CREATE DATABASE $_") for qw(one two plain);
$node->safe_psql($_, 'CREATE EXTENSION dbnet') for qw(one two);
$node->wait_for($workers, 'one worker per database with the extension', expected => 'one postgres two');
$node->query_is(q{SELECT count(*) FROM dbnet.worker WHERE process = 'mirror worker'}, '1', 'the view shows the worker of its own database', database => 'two');

# --- a restart of the server ---
$node->restart;
$node->wait_for($workers, 'all of them come back after a restart', expected => 'one postgres two');
$node->query_is(q{SELECT restarts FROM dbnet.worker WHERE process = 'mirror worker'}, '0', 'restarts count from the start of the server');

# --- a reload ends nobody ---
$pid = $node->worker_pid('mirror worker');
$node->append_conf('postgresql.conf', 'dbnet.hold_objects = 7');
$node->reload;
$node->wait_for('SHOW dbnet.hold_objects', 'the configuration is re-read', expected => '7');
is($node->worker_pid('mirror worker'), $pid, 'a reload keeps the worker');

# --- a worker that ends is started again; the launcher too, and it finds what runs ---
isnt($node->replace_worker('mirror worker', 'TERM'), $pid, 'a terminated worker is replaced');
$node->query_is(q{SELECT restarts || ' ' || last_error FROM dbnet.worker WHERE process = 'mirror worker'},
    '1 ended by a FATAL error or a termination request; the server log has the reason', 'and that is shown');
$pid = $node->worker_pid('mirror worker');
$node->replace_worker('launcher', 'TERM');
$node->safe_psql('two', 'DROP EXTENSION dbnet CASCADE');
$node->wait_for($workers, 'the new launcher works', expected => 'one postgres');
is($node->worker_pid('mirror worker'), $pid, 'and leaves the running worker alone');
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'dbnet mirror worker' AND datname = 'postgres'}, '1', 'there is one worker in the database, not two');

# --- databases that take no connections, templates ---
$node->safe_psql('postgres', 'ALTER DATABASE one ALLOW_CONNECTIONS false');
$node->wait_for($workers, 'a database that allows no connections loses its worker', expected => 'postgres');
$node->safe_psql('postgres', 'ALTER DATABASE one ALLOW_CONNECTIONS true');
$node->wait_for($workers, 'and gets it back', expected => 'one postgres');
$node->safe_psql('postgres', 'ALTER DATABASE one IS_TEMPLATE true');
$node->wait_for($workers, 'a template has no worker', expected => 'postgres');
$node->safe_psql('postgres', 'CREATE DATABASE copy TEMPLATE one');
$node->wait_for($workers, 'a database made from a template with the extension has one', expected => 'copy postgres');

# --- the end ---
$node->stop('fast');
unlike($node->log_since(0), qr/PANIC|terminated by signal/, 'a fast shutdown ends all of them');

# --- pg_upgrade runs servers in this mode, which nobody may change ---
my @pg_ctl = ('pg_ctl', '-w', '-D', $node->data_dir, '-l', $node->logfile);
PostgreSQL::Test::Utils::system_log(@pg_ctl, '-o', '-b', 'start');
$node->query_is(q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'dbnet%'}, '0', 'no process in binary upgrade mode');
$node->psql_ok('ALTER DATABASE plain RENAME TO simple', 'and no hooks');
PostgreSQL::Test::Utils::system_log(@pg_ctl, '-m', 'fast', 'stop');

$node->no_crash_in_log;
done_testing();
