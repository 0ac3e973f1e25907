# The door between C++ and PostgreSQL: errors in nested frames keep every field, run every destructor, leave
# PostgreSQL's globals as they were and no memory behind; cancel and termination get through.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->started('guard');
my $library = $ENV{DBNET_TEST_LIBRARY};
$node->safe_psql('postgres', <<"SQL");
CREATE SCHEMA door;
CREATE FUNCTION door.raise(text) RETURNS void LANGUAGE c STRICT AS '$library', 'dbnet_test_raise';
CREATE FUNCTION door.run(text) RETURNS text LANGUAGE c STRICT AS '$library', 'dbnet_test_run';
CREATE FUNCTION door.catch(text) RETURNS text LANGUAGE c STRICT AS '$library', 'dbnet_test_catch';
CREATE FUNCTION door.catch_many(text, integer) RETURNS bigint LANGUAGE c STRICT AS '$library', 'dbnet_test_catch_many';
CREATE FUNCTION door.guard_state() RETURNS text LANGUAGE c AS '$library', 'dbnet_test_guard_state';
CREATE FUNCTION door.fail_holding() RETURNS void LANGUAGE c AS '$library', 'dbnet_test_fail_holding';
CREATE FUNCTION door.holdoff() RETURNS bigint LANGUAGE c AS '$library', 'dbnet_test_holdoff';
CREATE FUNCTION door.arguments() RETURNS text LANGUAGE c AS '$library', 'dbnet_test_arguments';
CREATE FUNCTION door.types_change() RETURNS text LANGUAGE c AS '$library', 'dbnet_test_types_change';
CREATE FUNCTION door.subtransactions(text, text) RETURNS void LANGUAGE c AS '$library', 'dbnet_test_subtransactions';
CREATE FUNCTION door.memory_scope(integer) RETURNS bigint LANGUAGE c AS '$library', 'dbnet_test_memory_scope';

-- All fields of an error as PL/pgSQL gets them.
CREATE FUNCTION door.diagnose(sql text) RETURNS text LANGUAGE plpgsql AS \$\$
DECLARE state text; message text; detail text; hint text; context text; s text; t text; c text; d text; k text;
BEGIN
    EXECUTE sql;
    RETURN 'finished';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT, s = SCHEMA_NAME, t = TABLE_NAME, c = COLUMN_NAME,
        d = PG_DATATYPE_NAME, k = CONSTRAINT_NAME;
    RETURN concat_ws('|', state, message, detail, hint, s, t, c, d, k, split_part(context, chr(10), 1));
END\$\$;
CREATE FUNCTION door.plain_error() RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    RAISE EXCEPTION 'plain' USING ERRCODE = '23514', DETAIL = 'why', HINT = 'what to do', SCHEMA = 's', TABLE = 't', COLUMN = 'c',
        DATATYPE = 'd', CONSTRAINT = 'k';
END\$\$;
-- SQL that runs `sql` at the bottom of `depth` frames of C++, each inside one of PostgreSQL.
CREATE FUNCTION door.nested(depth integer, sql text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
    FOR i IN 1 .. depth LOOP sql := format('SELECT door.run(%L)', sql); END LOOP;
    RETURN sql;
END\$\$;
CREATE FUNCTION door.total_memory() RETURNS bigint LANGUAGE sql VOLATILE AS 'SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts';
SQL

# --- an error keeps what it says ---
my $fields = '23514|plain|why|what to do|s|t|c|d|k|PL/pgSQL function door.plain_error() line 3 at RAISE';
$node->query_is(q{SELECT door.diagnose('SELECT door.plain_error()')}, $fields, 'an error, as PostgreSQL reports it');
$node->query_is(q{SELECT door.diagnose(door.nested(1, 'SELECT door.plain_error()'))}, $fields, 'is the same after one frame of C++');
$node->query_is(q{SELECT door.diagnose(door.nested(7, 'SELECT door.plain_error()'))}, $fields, 'is the same after seven');
$node->query_is(q{SELECT door.catch('SELECT door.plain_error()')}, <<'TEXT' =~ s/\n\z//r, 'C++ sees every field');
sqlstate=23514
message=plain
detail=why
hint=what to do
context=PL/pgSQL function door.plain_error() line 3 at RAISE
SQL statement "SELECT door.plain_error()"
schema=s
table=t
column=c
datatype=d
constraint=k
TEXT
$node->query_is(q{SELECT door.catch('SELECT 1 +')}, <<'TEXT' =~ s/\n\z//r, 'also the query and the position in it');
sqlstate=42601
message=syntax error at end of input
query=SELECT 1 +
position=11
TEXT
$node->query_is(q{SELECT door.diagnose($$SELECT door.raise('PostgreSQL')$$)}, '23514|raised by PostgreSQL|a detail|a hint|s|t|c|d|k|a context',
    'an error of PostgreSQL called by C++');

# --- errors of C++ ---
$node->query_is(q{SELECT door.diagnose($$SELECT door.raise('error')$$)}, '22012|own message|own detail|own hint||||||SQL statement "SELECT door.raise(\'error\')"',
    'an error of ours has SQLSTATE, detail, hint and the context of its callers');
$node->query_is(q{SELECT door.diagnose(door.nested(3, $$SELECT door.raise('error')$$))},
    '22012|own message|own detail|own hint||||||SQL statement "SELECT door.raise(\'error\')"', 'the same through three frames');
$node->query_is(q{SELECT split_part(door.diagnose($$SELECT door.raise('exception')$$), '|', 1) || ' ' || split_part(door.diagnose($$SELECT door.raise('exception')$$), '|', 2)},
    'XX000 DBNet internal error: something unforeseen', 'any other exception names DBNet');
$node->fails_like(q{SELECT door.raise('foreign')}, 'XX000', qr/DBNet internal error of unknown type/, 'what is no std::exception too');
$node->fails_like(q{SELECT door.raise('no C++ memory')}, '53200', qr/out of memory/, 'no memory for C++');
$node->fails_like(q{SELECT door.raise('no PostgreSQL memory')}, '53200', qr/out of memory/, 'no memory for PostgreSQL');
$node->query_is(q{SELECT door.catch($$SELECT door.raise('no PostgreSQL memory')$$) ~ '^sqlstate=53200'}, 't', 'and caught by C++');

# --- what a guard leaves behind ---
$node->query_is('SELECT door.guard_state()', 'unchanged', "PostgreSQL's globals are as before");
$node->query_is(q{SELECT door.diagnose(door.nested(3, $$SELECT door.raise('error')$$)) IS NOT NULL; SELECT door.holdoff()}, "t\n0", 'interrupts are not held');
$node->query_is(q{SELECT door.diagnose('SELECT door.fail_holding()') ~ '^XX000'; SELECT door.holdoff()}, "t\n0", 'nor by code that failed holding them');
$node->query_is(q{CREATE TABLE door.kept (t text);
    SELECT door.subtransactions('INSERT INTO door.kept VALUES (''kept'')', 'INSERT INTO door.kept VALUES (''undone'')');
    SELECT * FROM door.kept}, "\nkept", 'a subtransaction left by an exception is undone, the other stays');

# --- many times ---
# SQL that evaluates `expression` over 3 rows (caches fill), then over `rows`; its last line is by how many bytes the
# session's memory grew in between.
sub memory_test {
    my ($expression, $rows) = @_;
    my $measure = 'SELECT sum(total_bytes) AS total FROM pg_backend_memory_contexts \\gset';
    my $evaluate = "SELECT $expression FROM generate_series(1, :rows);";
    return "\\set rows 3\n$measure\n$evaluate\n$measure\n\\set before :total\n\\set rows $rows\n$evaluate\n$measure\nSELECT :total - :before;";
}

for my $case (
    [ 'an error of C++', q{SELECT door.raise('error')} ],
    [ 'an error of PostgreSQL', q{SELECT door.plain_error()} ],
    [ 'an error four frames deep', undef, 4 ],
    [ 'no memory for C++', q{SELECT door.raise('no C++ memory')} ],
    [ 'no memory for PostgreSQL', q{SELECT door.raise('no PostgreSQL memory')} ],
    [ 'an error in the parser', q{SELECT 1 +} ],
  )
{
    my ($name, $sql, $depth) = @$case;
    my $expression = $depth ? "door.nested($depth, 'SELECT door.plain_error()')" : "'" . $sql =~ s/'/''/gr . "'";
    # Caught by C++ …
    $node->query_is(memory_test("sum(door.catch_many($expression, 100))", 30), "300\n3000\n0", "$name: caught 3000 times, memory is flat");
}
# … and by PostgreSQL, the error leaving C++.
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION door.leave_many(sql text, times integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE failures integer := 0;
BEGIN
    FOR i IN 1 .. times LOOP
        BEGIN
            EXECUTE sql;
        EXCEPTION WHEN OTHERS THEN failures := failures + 1;
        END;
    END LOOP;
    RETURN failures;
END$$;
SQL
for my $case ([ 'an error of C++', q{$$SELECT door.raise('error')$$} ], [ 'an error three frames deep', q{door.nested(2, 'SELECT door.plain_error()')} ]) {
    my ($name, $expression) = @$case;
    $node->query_is(memory_test("sum(door.leave_many($expression, 100))", 30), "300\n3000\n0", "$name leaves C++ 3000 times, memory is flat");
}
$node->query_is('SELECT door.memory_scope(2000)', '0', 'memory scopes and the objects in them leave nothing');

# --- cancel and termination, deep inside ---
$node->fails_like(q{SET statement_timeout = '100ms'; SELECT door.run(door.nested(4, 'SELECT pg_sleep(600)'))}, '57014', qr/statement timeout/,
    'a timeout ends what runs five frames deep');
$node->query_is(q{SET statement_timeout = '100ms'; SELECT door.catch(door.nested(2, 'SELECT pg_sleep(600)')) ~ '^sqlstate=57014'; SELECT 'alive'}, "t\nalive",
    'C++ sees the cancel, the session goes on');
for my $case ([ 'pg_cancel_backend', qr/57014.*canceling statement due to user request/ ], [ 'pg_terminate_backend', qr/57P01.*terminating connection/ ]) {
    my ($function, $expected) = @$case;
    my $position = $node->log_position;
    my $victim = IPC::Run::start(
        [ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('postgres'), '-c', "SELECT door.run(door.nested(4, 'SELECT pg_sleep(600)'))" ],
        '>', \my $output, '2>', \my $errors);
    $node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'}, 'a session sleeps five frames deep');
    $node->safe_psql('postgres', "SELECT $function(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    $victim->finish;
    like($errors, $expected, "$function gets through");
}
$node->query_is('SELECT 1', '1', 'the server is up');

# --- arguments of statements ---
$node->query_is('SELECT door.arguments()', "a\x{e4} -5 t 16384 1.5 0001 {\"a,b\",\"\",\"\\\"q\\\"\"} {x,NULL} t t" =~ s/\x{e4}/\xC3\xA4/r, 'every kind of argument');
$node->query_is('SELECT door.types_change()', 'bigint, text, boolean', 'arguments of another type prepare a statement anew');

$node->no_crash_in_log;
done_testing();
