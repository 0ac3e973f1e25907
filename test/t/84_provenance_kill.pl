# kill -9 of a backend and of the postmaster while transactions commit: every committed change is on record once, no
# event is without its transaction; and a dump brings all of it into another database.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;
use Time::HiRes qw(sleep);

my $node = DBNet::Cluster->started('provenance_kill', conf => "dbnet.provenance_on_error = error\nmax_prepared_transactions = 1\n");
$node->psql_ok(<<'SQL', 'a tracked table with a trigger');
CREATE TABLE counted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, note text);
CREATE TABLE total (id int PRIMARY KEY, rows bigint);
INSERT INTO total VALUES (1, 0);
INSERT INTO dbnet.tracked_relation (relation, schema_name, table_name, key_columns) VALUES
    ('counted', 'public', 'counted', '{id}'), ('total', 'public', 'total', '{id}');
CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON counted FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
CREATE TRIGGER dbnet_track AFTER INSERT OR UPDATE OR DELETE ON total FOR EACH ROW EXECUTE FUNCTION dbnet.track_row();
CREATE FUNCTION add_up() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN UPDATE total SET rows = rows + 1 WHERE id = 1; RETURN NULL; END $$;
CREATE TRIGGER add_up AFTER INSERT ON counted FOR EACH ROW EXECUTE FUNCTION add_up();
CREATE PROCEDURE work() LANGUAGE plpgsql AS
    $$ BEGIN LOOP INSERT INTO counted (note) SELECT 'x' FROM generate_series(1, 3); COMMIT; END LOOP; END $$;
INSERT INTO dbnet.tracked_function VALUES ('public.work()');
SQL

# What must hold whatever happened before.
sub is_whole {
    my ($when) = @_;
    $node->query_is("SELECT count(*) = (SELECT count(*) FROM counted), count(DISTINCT key) = count(*), count(*) = (SELECT rows FROM total)
          FROM dbnet.entity_version WHERE operation = 'I' AND relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'counted')",
        't|t|t', "$when: each committed row is on record once");
    $node->query_is("SELECT count(*) FROM dbnet.entity_version AS v WHERE NOT EXISTS (SELECT FROM dbnet.activity AS a WHERE a.id = v.activity)",
        '0', "$when: no version without its activity");
    $node->query_is("SELECT count(*) FROM dbnet.activity AS a WHERE NOT EXISTS (SELECT FROM dbnet.transaction AS t WHERE t.id = a.transaction)",
        '0', "$when: no activity without its transaction");
    $node->query_is("WITH events AS (
            SELECT transaction FROM dbnet.activity
            UNION ALL SELECT a.transaction FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity)
        SELECT count(*) FROM (SELECT transaction AS id, count(*) AS events FROM events GROUP BY transaction) AS found
        FULL JOIN dbnet.transaction AS t USING (id) WHERE found.events IS DISTINCT FROM t.events",
        '0', "$when: every transaction is complete");
    return;
}

sub begin_work {
    my ($name) = @_;
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    $session->{stdin} .= "SET application_name = '$name'; CALL work();\n";
    $session->{run}->pump_nb;
    my $before = $node->safe_psql('postgres', 'SELECT count(*) FROM counted');
    $node->wait_for("SELECT count(*) > $before + 30 FROM counted", "$name has committed");
    return $session;
}

sub backend_of { my ($name) = @_; return $node->safe_psql('postgres', "SELECT pid FROM pg_stat_activity WHERE application_name = '$name'") }

my $session = begin_work('first');
kill KILL => backend_of('first');
$session->{run}->kill_kill;
$node->wait_for('SELECT true', 'the server is back');
is_whole('a backend was killed');

$session = begin_work('second');
my $backend = backend_of('second');
$node->kill9;
kill KILL => $backend; # it would go on: it looks for the postmaster only where it waits
$session->{run}->kill_kill;
$node->start;
is_whole('the postmaster was killed');

# What was prepared before and is committed after.
$node->psql_ok(q{BEGIN; INSERT INTO counted (note) VALUES ('prepared'); PREPARE TRANSACTION 'survivor'}, 'prepared');
$node->kill9;
$node->start;
$node->psql_ok(q{COMMIT PREPARED 'survivor'}, 'committed after the server was killed');
is_whole('a prepared transaction outlived the server');
$node->query_is(q{SELECT string_agg(regexp_replace(line, '^\S+ \S+ +', ''), E'\n') FROM dbnet.why((SELECT max(id) FROM dbnet.entity_version WHERE operation = 'U')) AS line WHERE line !~ ' who '}, join("\n",
        'row        UPDATE public.total 1: rows ' . $node->safe_psql('postgres', q{SELECT format('%s → %s', rows - 1, rows) FROM total}),
        'statement  UPDATE total SET rows = rows + 1 WHERE id = 1 (line 1)',
        'trigger    add_up on public.counted, after insert',
        'row        INSERT public.counted ' . $node->safe_psql('postgres', q{SELECT format('%s: note "prepared"', max(id)) FROM counted}),
        q{statement  INSERT INTO counted (note) VALUES ('prepared')}), 'with its chain');

$node->safe_psql('postgres', 'CREATE DATABASE copy');
my $dump = $node->basedir . '/provenance.sql';
my $blocks = $node->safe_psql('postgres', 'SELECT coalesce(max(number), 0) FROM dbnet.provenance_block'); # more may be sealed meanwhile
$node->command_ok([ 'pg_dump', '-d', $node->connstr('postgres'), '-f', $dump ], 'pg_dump');
$node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('copy'), '-f', $dump ], 'into another database');
my $last = $node->safe_psql('postgres', 'SELECT max(id) FROM dbnet.activity');
for my $table (qw(session activity entity_version used_version code provenance_block tracked_function)) {
    # The triggers that a restore makes on tracked tables are DDL, and on record with later ids.
    my $until = $table =~ /^(session|activity)$/ ? "WHERE id <= $last"
      : $table eq 'provenance_block' ? "WHERE number <= $blocks"
      : $table eq 'tracked_function' ? "WHERE function::text NOT LIKE 'dbnet.%'" : ''; # DBNet's own come with each database
    my $sum = "SELECT count(*), md5(string_agg(t::text, ',' ORDER BY t::text)) FROM dbnet.$table AS t $until";
    is($node->safe_psql('copy', $sum), $node->safe_psql('postgres', $sum), "dbnet.$table is the same there");
}
my $tracked = "SELECT string_agg(concat_ws(' ', number, relation, schema_name, table_name, key_columns, enabled), ',' ORDER BY number) FROM dbnet.tracked_relation WHERE number >= 100";
is($node->safe_psql('copy', $tracked), $node->safe_psql('postgres', $tracked), 'what is tracked is the same there');
$node->safe_psql('copy', "INSERT INTO counted (note) VALUES ('in the copy')");
is($node->safe_psql('copy', "SELECT operation, new ->> 'note' FROM dbnet.entity_version WHERE operation = 'I' ORDER BY id DESC LIMIT 1"),
    'I|in the copy', 'and goes on being tracked');
done_testing;
