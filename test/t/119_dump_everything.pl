# pg_dump of a database with everything, restored into another cluster: definitions, claims, telemetry, what is on record.
# It writes to no device until it is claimed; then it works as the original did.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Everything;
use PostgreSQL::Test::Utils ();
use Test::More;

my $api = DBNet::Api->start(controllers => 0);
my $old = DBNet::Cluster->started('original', conf => DBNet::Everything::conf());
my $all = DBNet::Everything->new($old, $api);
$all->works('before');
$old->psql_ok(q{
    CREATE TABLE net.batches (spans bigint);
    CREATE FUNCTION net.on_spans() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO net.batches SELECT count(*) FROM new_spans; RETURN NULL; END';
    SELECT otel.on_batch('net.on_spans()');
    CREATE FUNCTION net.twice(n integer) RETURNS integer LANGUAGE sql AS 'SELECT 2 * n';
    SELECT dbnet.track_function('net.twice(integer)');
    SET ROLE policy_owner;
    SELECT dbnet.create_error_rate_policy('errors', action => 'net.act(dbnet.policy_event)')}, 'a hook, a function of which calls are recorded, a policy on telemetry');
my %question = (
    mirrors   => q{SELECT relation, server, kind, namespace, mode, field_manager FROM dbnet.mirrored_relation ORDER BY relation::text},
    columns   => q{SELECT relation, column_name, path, role, subresource, rules FROM dbnet.mirrored_column ORDER BY relation::text, 2},
    claims    => q{SELECT relation, name, uid, claimed, applied FROM dbnet.object ORDER BY relation::text, 2},
    policies  => q{SELECT to_jsonb(p) - 'generation' FROM dbnet.policy AS p ORDER BY name},
    decisions => q{SELECT to_jsonb(e) FROM dbnet.policy_event AS e ORDER BY id},
    rules     => q{SELECT * FROM otel.pane_rule ORDER BY 1},
    hooks     => q{SELECT * FROM otel.batch_hook},
    functions => q{SELECT function FROM dbnet.tracked_function ORDER BY 1},
    calls     => q{SELECT id, operation, name, http_status FROM dbnet.actuation ORDER BY 1},
    done      => q{SELECT * FROM net.done ORDER BY 1},
    history   => q{SELECT * FROM dbnet.history('net.done', (SELECT min(event)::text FROM net.done))},
    why       => q{SELECT dbnet.why('net.done', (SELECT min(event)::text FROM net.done))},
    verify    => q{SELECT * FROM dbnet.verify()},
    rights    => q{SELECT dbnet.rbac('prod')},
    grants    => q{SELECT relname, relacl FROM pg_class WHERE relnamespace IN ('dbnet'::regnamespace, 'otel'::regnamespace, 'net'::regnamespace) AND relkind IN ('r', 'v', 'p') AND NOT relispartition ORDER BY relnamespace::regnamespace::text, 1},
);
$old->psql_ok(q{SELECT dbnet.disable_policy('load')}, 'nothing more is decided');
$old->psql_ok(q{SELECT dbnet.pause('prod', 'while the copy is made')}, 'nothing more is sent');
my %answer = map { $_ => $old->psql_ok($question{$_}, "$_ of the original") } sort keys %question;
$old->psql_ok(q{CREATE ROLE leaver; CREATE FUNCTION net.left_behind() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; ALTER FUNCTION net.left_behind() OWNER TO leaver;
    SELECT otel.on_batch('net.left_behind()'); DROP FUNCTION net.left_behind(); DROP ROLE leaver}, 'a hook of a role that is gone: its number may be another role\'s elsewhere, and is not dumped');
my ($roles, $dump) = map { PostgreSQL::Test::Utils::tempdir() . "/$_" } qw(roles dump);
my @from = ('-h', $old->host, '-p', $old->port);
$old->command_ok([ 'pg_dumpall', '--roles-only', '-f', $roles, @from ], 'pg_dumpall --roles-only');
$old->command_ok([ 'pg_dump', '-Fc', '-f', $dump, @from, 'postgres' ], 'pg_dump');
$old->stop;

my $new = DBNet::Cluster->new('restored');
$new->init(conf => DBNet::Everything::conf() . "dbnet.api_listen = '127.0.0.1:$all->{client}{port}'");
$new->start;
# The role of who restores is there already, which stops nothing.
$new->command_ok([ 'psql', '-Xq', '-f', $roles, '-d', 'postgres', '-h', $new->host, '-p', $new->port ], 'roles and their memberships');
$new->command_ok([ 'pg_restore', '-e', '-j', '2', '-d', 'postgres', '-h', $new->host, '-p', $new->port, $dump ], 'pg_restore into another cluster, by two at once');
$all->move_to($new);
$new->query_is($question{$_}, $answer{$_}, "$_ of the copy") for sort keys %question;
$new->wait_for(q{SELECT string_agg(coalesce(error, 'none'), ' ') FROM dbnet.policy_status WHERE policy = 'errors'}, 'the policy on telemetry may read it', expected => 'none');
$new->psql_ok(q{SELECT dbnet.resume('prod'); SELECT dbnet.enable_policy('load')}, 'it may go on');
$new->query_is('SELECT (SELECT count(*) FROM dbnet.token), (SELECT count(*) FROM otel.spans)', '0|0', 'tokens and telemetry stay where they are');
$all->{token} = $all->{client}->token('app', 'of the copy');
$new->psql_ok("ALTER DATABASE postgres SET dbnet.gateway_listen = '127.0.0.1:" . $all->{gateway}->port . q{'}, 'settings of a database are of pg_dump --create alone');
$all->runs('everything runs');
$new->wait_for(q{SELECT bool_and(state = 'disarmed') FROM dbnet.mirror_status}, 'it writes to nothing');
$new->psql_ok('SELECT dbnet.claim()', 'until it is claimed');
$all->works('the copy');
$new->query_is('SELECT count(*) > 0 FROM net.batches', 't', 'the hook of batches too');
$new->no_crash_in_log;
done_testing();
