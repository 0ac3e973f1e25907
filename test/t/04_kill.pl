# kill -9 of a worker, of the launcher and of the whole server: everything comes back by itself.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('kill');
$node->safe_psql('postgres', 'CREATE DATABASE other');
$node->safe_psql('other', 'CREATE EXTENSION dbnet');
my $killed = qr/dbnet (mirror worker|launcher).*was terminated by signal 9/;

sub all_running {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for(q{SELECT string_agg(backend_type || coalesce(' ' || datname, ''), ', ' ORDER BY backend_type, datname) FROM pg_stat_activity WHERE backend_type LIKE 'dbnet %'},
        $name, expected => 'dbnet launcher, dbnet mirror worker other, dbnet mirror worker postgres');
}

all_running('everything runs');
$node->replace_worker('mirror worker', 'KILL');
all_running('a killed worker: the server restarts, all workers come back');
$node->replace_worker('launcher', 'KILL');
all_running('a killed launcher: the same');
$node->query_is(q{SELECT state, restarts FROM dbnet.worker WHERE process = 'mirror worker'}, 'running|0', 'the slots start anew');
$node->kill9;
$node->start;
all_running('a killed postmaster');
$node->stop('immediate');
$node->start;
all_running('an immediate shutdown');
$node->safe_psql('other', 'DROP EXTENSION dbnet CASCADE');
$node->psql_ok('DROP DATABASE other', 'DDL works after all that');

$node->no_crash_in_log(except => $killed);
done_testing();
