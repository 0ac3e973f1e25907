# ALTER EXTENSION UPDATE: the library is newer than the extension, or older. Where versions differ no process works, and
# each says why; what was changed in the meantime is sent when they are the same again.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Everything;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

# A PostgreSQL tree of its own, for scripts of versions that do not exist: 0.0 is older than the library, 0.2 newer.
my $root = PostgreSQL::Test::Utils::tempdir();
my ($system, $bin) = $ENV{PATH} =~ m{^([^:]*/build/root)(/[^:]*)/bin:} or die "not run by test/check.pl: $ENV{PATH}";
my ($top) = $bin =~ m{^(/[^/]+)};
system('cp', '-a', "$system$top", $root) == 0 or die 'cp';
chomp(my $control = `find $root -name dbnet.control`);
my $share = $control =~ s{/dbnet\.control$}{}r;
sub script { my ($versions, $text) = @_;
    open my $out, '>', "$share/dbnet--$versions.sql" or die "$share: $!";
    print $out $text;
    close $out or die "$share: $!";
    return }
script('0.0', slurp_file("$share/dbnet--0.1.sql"));
script('0.0--0.1', "CREATE FUNCTION dbnet.of_update() RETURNS text LANGUAGE sql AS \$\$ SELECT 'updated' \$\$;\n");
script('0.1--0.2', "CREATE TABLE dbnet.of_the_future (n integer);\n");
script('0.2--0.1', "DROP TABLE dbnet.of_the_future;\n");

my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->new('update', install_path => "$root$bin");
$node->init(conf => DBNet::Everything::conf());
$node->start;
my $states = q{SELECT string_agg(process || ' ' || state, ', ' ORDER BY process) FROM dbnet.worker WHERE process <> 'launcher'};

# --- the library is newer ---
my $position = $node->log_position;
$node->psql_ok(q{CREATE EXTENSION dbnet VERSION '0.0'}, 'an extension that is older than the library');
$node->wait_for($states, 'its worker is idle', expected => 'mirror worker idle');
$node->query_is(q{SELECT last_error FROM dbnet.worker WHERE process = 'mirror worker'}, 'DBNet: the extension has version 0.0, the loaded library version 0.1; the worker does nothing', 'and says why');
like($node->log_since($position), qr/LOG:  DBNet: the extension has version 0\.0.*HINT:  Run ALTER EXTENSION dbnet UPDATE, or restart the server if the library was replaced\./s, 'in the log too, with a hint');
$node->psql_ok('BEGIN; ALTER EXTENSION dbnet UPDATE; ROLLBACK', 'an update that is rolled back');
$node->wait_for($states, 'changes nothing', expected => 'mirror worker idle');
$node->psql_ok('ALTER EXTENSION dbnet UPDATE', 'an update');
$node->wait_for($states, 'starts the work', expected => 'mirror worker running');
$node->query_is('SELECT dbnet.of_update()', 'updated', 'with what its script brings');

# --- the library is older: everything runs, then the extension is a version ahead ---
my $all = DBNet::Everything->new($node, $api);
$all->runs('everything runs');
$all->works('before');
$node->psql_ok(q{ALTER EXTENSION dbnet UPDATE TO '0.2'}, 'an extension that is newer than the library');
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'the mirror worker is idle', expected => 'idle');
$node->query_is(q{SELECT last_error FROM dbnet.worker WHERE process = 'mirror worker'}, 'DBNet: the extension has version 0.2, the loaded library version 0.1; the worker does nothing', 'and says why');
$node->wait_for(q{SELECT count(*) FROM dbnet.worker WHERE process <> 'launcher' AND state = 'running'}, 'and no other works', expected => '0');
my $calls = $node->safe_psql('postgres', 'SELECT count(*) FROM dbnet.actuation');
$node->psql_ok($all->{mirrors}->config_row('between', { v => '1' }), 'a row meanwhile');
$node->restart;
$node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'idle after a restart too', expected => 'idle');
$node->query_is('SELECT count(*) FROM dbnet.actuation', $calls, 'nothing was sent');
is($api->get($all->{mirrors}->config_path('between'))->{status}, 404, 'to no device');
$node->psql_ok(q{ALTER EXTENSION dbnet UPDATE TO '0.1'}, 'back to the version of the library');
$all->runs('everything runs again');
is($all->{mirrors}->wait_synced, '', 'what was changed meanwhile');
is($all->{mirrors}->config('between')->{data}{v}, '1', 'is sent');
$all->works('after');
$node->fails_like(q{ALTER EXTENSION dbnet UPDATE TO '0.7'}, '22023', qr/no update path from version "0\.1" to version "0\.7"/, 'a version that is not there');
$all->runs('disturbs nothing');

$node->no_crash_in_log;
done_testing();
