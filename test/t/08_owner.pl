# Running as a table's owner in a superuser's worker: whatever the owner's triggers try, user, security context and settings
# are as before afterwards, and no trigger of the owner runs as the superuser.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('owner');
my $library = $ENV{DBNET_TEST_LIBRARY};
$node->safe_psql('postgres', <<"SQL");
CREATE ROLE mallory LOGIN;
CREATE ROLE accomplice;
GRANT accomplice TO mallory;
CREATE SCHEMA door;
CREATE SCHEMA own AUTHORIZATION mallory;
ALTER ROLE mallory SET search_path = own;
GRANT USAGE ON SCHEMA door TO PUBLIC;
CREATE TABLE door.job (id bigint GENERATED ALWAYS AS IDENTITY, owner regrole, statements text[], error text, before text, inside text, after text);
CREATE TABLE door.secret (content text);
CREATE TABLE door.seen (id bigint GENERATED ALWAYS AS IDENTITY, who name, what text);
GRANT INSERT ON door.seen TO PUBLIC;
CREATE FUNCTION door.start_job(bigint) RETURNS void LANGUAGE c AS '$library', 'dbnet_test_start_job';
CREATE FUNCTION door.in_report() RETURNS boolean LANGUAGE c AS '$library', 'dbnet_test_in_report';
SET SESSION AUTHORIZATION mallory;
CREATE TABLE own.target (id int PRIMARY KEY, value int);
CREATE TABLE own.other (id int PRIMARY KEY, value int);
INSERT INTO own.target VALUES (1, 0);
INSERT INTO own.other VALUES (1, 0);
-- What the trigger of the next job does.
CREATE TABLE own.attack (sql text);
CREATE FUNCTION own.attack() RETURNS trigger LANGUAGE plpgsql AS \$\$
DECLARE statement text;
BEGIN
    INSERT INTO door.seen (who, what) VALUES (current_user, tg_name);
    FOR statement IN SELECT sql FROM own.attack LOOP EXECUTE statement; END LOOP;
    RETURN NULL;
END\$\$;
CREATE TRIGGER attack AFTER UPDATE ON own.target FOR EACH ROW EXECUTE FUNCTION own.attack();
CREATE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO door.seen (who, what) VALUES (current_user, tg_name);
    IF current_user <> 'mallory' THEN INSERT INTO door.secret VALUES ('stolen'); END IF;
    RETURN NULL;
END\$\$;
CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON own.target DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.note();
CREATE CONSTRAINT TRIGGER other_later AFTER UPDATE ON own.other DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.note();
SQL

# Runs statements as mallory in a worker while the trigger on own.target executes `attack`; returns what door.job says.
sub run_job {
    my ($attack, @statements) = @_;
    @statements = 'UPDATE own.target SET value = value + 1' if !@statements;
    my $list = join ', ', map { DBNet::Cluster::quote($_) } @statements;
    $node->safe_psql('postgres', 'TRUNCATE own.attack, door.seen; INSERT INTO own.attack SELECT unnest(ARRAY['
          . join(', ', map { DBNet::Cluster::quote($_) } ref $attack ? @$attack : $attack) . ']::text[])');
    my $id = $node->safe_psql('postgres', "INSERT INTO door.job (owner, statements) VALUES ('mallory', ARRAY[$list]) RETURNING id");
    $node->safe_psql('postgres', "SELECT door.start_job($id)");
    my %job;
    $job{$_} = $node->safe_psql('postgres', "SELECT $_ FROM door.job WHERE id = $id") for qw(error before inside after);
    $job{seen} = $node->safe_psql('postgres', "SELECT string_agg(who || ':' || what, ' ' ORDER BY id) FROM door.seen");
    return \%job;
}

sub leaves_nothing {
    my ($job, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    isnt($job->{before}, '', "$name: the job ran");
    is($job->{after}, $job->{before}, "$name: user, security context, settings and locks are as before");
    is($node->safe_psql('postgres', 'SELECT count(*) FROM door.secret'), '0', "$name: nothing ran as the superuser");
    return;
}

my $job = run_job([]);
is($job->{error}, '', 'an update as the owner');
like($job->{inside}, qr/^user=mallory session=postgres .* context=3$/, 'runs as the owner, security-restricted');
is($job->{seen}, 'mallory:attack mallory:later', "the owner's triggers run as the owner, the deferred one too");
leaves_nothing($job, 'an update');

$job = run_job(['INSERT INTO other VALUES (2, 0)']);
is($job->{error}, '', "names are found in the owner's own search_path, as in a session of the owner");

# What PostgreSQL refuses there; the report fails, the worker does not.
for my $case (
    [ 'SET ROLE accomplice', qr/cannot set parameter "role" within security-definer function/ ],
    [ 'SET SESSION AUTHORIZATION mallory', qr/cannot set parameter "session_authorization" within security-definer function/ ],
    [ q{SELECT set_config('role', 'postgres', false)}, qr/cannot set parameter "role" within security-definer function/ ],
    [ 'CREATE TEMP TABLE own_temp (a int)', qr/cannot create temporary table within security-restricted operation/ ],
    [ 'LISTEN channel', qr/cannot execute LISTEN within (security-restricted operation|a background process)/ ],
    [ 'PREPARE stolen AS SELECT 1', qr/cannot execute PREPARE within security-restricted operation/ ],
    [ 'DECLARE held CURSOR WITH HOLD FOR SELECT 1', qr/cannot create a cursor WITH HOLD within security-restricted operation/ ],
    [ 'INSERT INTO door.secret VALUES (1)', qr/permission denied for table secret/ ],
    [ 'SELECT 1 / 0', qr/division by zero/ ],
  )
{
    my ($attack, $error) = @$case;
    $job = run_job($attack);
    like($job->{error}, $error, "refused: $attack");
    leaves_nothing($job, $attack);
}

# What is allowed and undone.
for my $attack (
    q{SELECT set_config('search_path', 'own, pg_catalog', false)},
    q{SELECT set_config('door.left_behind', 'yes', false)},
    q{SET work_mem = '64kB'},
    q{SET session_authorization = DEFAULT},
    q{SET statement_timeout = '1h'},
    q{SET TRANSACTION READ ONLY},
    q{SET row_security = on},
    q{SELECT pg_advisory_lock(42)},
    q{RESET ALL},
    q{SET CONSTRAINTS ALL IMMEDIATE},
  )
{
    $job = run_job($attack);
    leaves_nothing($job, $attack);
}

# Deferred triggers that should outlive the switch back.
my $refused_deferral = qr/cannot fire deferred trigger within security-restricted operation/;
for my $attack (
    [ 'SET CONSTRAINTS ALL DEFERRED', 'UPDATE own.other SET value = value + 1' ],
    [ 'SET CONSTRAINTS own.other_later DEFERRED', 'UPDATE own.other SET value = value + 1' ],
  )
{
    $job = run_job($attack);
    like($job->{error}, $refused_deferral, join '; ', 'refused', @$attack);
    leaves_nothing($job, join '; ', @$attack);
}
$job = run_job('SET CONSTRAINTS own.later DEFERRED');
is("$job->{error}|$job->{seen}", '|mallory:attack mallory:later', 'one that is on its way already runs as the owner');
leaves_nothing($job, 'deferred on its way');
# The same from the statement itself, and from a deferred trigger while the queue is emptied.
$job = run_job([], 'SET CONSTRAINTS ALL DEFERRED', 'UPDATE own.other SET value = value + 1');
like($job->{error}, $refused_deferral, 'refused in the statements themselves');
leaves_nothing($job, 'deferred in the statements');
$node->safe_psql('postgres', <<'SQL');
CREATE OR REPLACE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO door.seen (who, what) VALUES (current_user, tg_name || pg_trigger_depth());
    IF current_user <> 'mallory' THEN INSERT INTO door.secret VALUES ('stolen'); END IF;
    SET CONSTRAINTS ALL DEFERRED;
    IF (SELECT count(*) FROM door.seen) < 5 THEN UPDATE own.other SET value = value + 1; END IF;
    RETURN NULL;
END$$;
GRANT SELECT ON door.seen TO mallory;
SQL
$job = run_job([]);
like($job->{error}, $refused_deferral, 'refused in a deferred trigger that queues another one');
leaves_nothing($job, 'a deferred trigger that queues another one');

# row_security off: a policy that would hide rows is an error, not a gap.
$node->safe_psql('postgres', 'CREATE OR REPLACE FUNCTION own.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;'
      . 'ALTER TABLE own.other ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY none ON own.other USING (false)');
$job = run_job([], 'UPDATE own.other SET value = 7');
like($job->{error}, qr/query would be affected by row-level security policy for table "other"/, 'a policy that would filter is an error');
leaves_nothing($job, 'row level security');

# --- the report scope ---
$node->safe_psql('postgres', <<'SQL');
GRANT EXECUTE ON FUNCTION door.in_report() TO PUBLIC;
CREATE TABLE own.reported (id int, value int);
CREATE TABLE own.caused (id int, value int);
ALTER TABLE own.reported OWNER TO mallory;
ALTER TABLE own.caused OWNER TO mallory;
INSERT INTO own.reported VALUES (1, 0);
INSERT INTO own.caused VALUES (1, 0);
CREATE FUNCTION own.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO door.seen (who, what) VALUES (tg_table_name, door.in_report()::text);
    IF tg_table_name = 'reported' THEN UPDATE own.caused SET value = value + 1; END IF;
    RETURN NULL;
END$$;
CREATE TRIGGER tell AFTER UPDATE ON own.reported FOR EACH ROW EXECUTE FUNCTION own.tell();
CREATE TRIGGER tell AFTER UPDATE ON own.caused FOR EACH ROW EXECUTE FUNCTION own.tell();
SQL
$job = run_job([], 'UPDATE own.reported SET value = 1');
is($job->{error}, '', 'a report');
is($job->{seen}, 'reported:true caused:false', "the report's own statement is a report, what its triggers write is not");
is($node->safe_psql('postgres', 'UPDATE own.reported SET value = 2; SELECT what FROM door.seen ORDER BY id DESC LIMIT 2'), "false\nfalse",
    'a session of a user never writes reports');

$node->no_crash_in_log;
done_testing();
