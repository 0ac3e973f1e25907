# The client API over HTTP: every route, with the rights of the token's role and no others; tokens that end; errors as JSON;
# what is on record of it all.
use strict;
use warnings FATAL => 'all';
use DBNet::ClientApi;
use DBNet::Cluster;
use JSON::PP;
use PostgreSQL::Test::Utils ();
use Test::More;

my $node = DBNet::Cluster->started('main', conf => "log_statement = 'all'\ndbnet.gateway_body_limit = '2MB'\ndbnet.api_row_limit = 50");
my $api  = DBNet::ClientApi->new($node);
$node->psql_ok(q{CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE files LOGIN IN ROLE pg_read_server_files;
    GRANT CREATE ON DATABASE postgres TO app;
    CREATE SCHEMA shop; CREATE TABLE shop.orders (id integer PRIMARY KEY, owner text); INSERT INTO shop.orders VALUES (1, 'app'), (2, 'other');
    ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON shop.orders USING (owner = current_user);
    CREATE TABLE shop.secret (a integer);
    GRANT USAGE ON SCHEMA shop TO app, other; GRANT SELECT ON shop.orders TO app, other}, 'roles and tables');
my $token = $api->token('app', 'deploy');
my $other = $api->token('other', 'second');

# --- who comes in ---
my $answer = $api->answers($api->get(undef, '/schemas'), 401, 'no token', undef, qr/a token is needed/);
is($answer->{headers}{'www-authenticate'}, 'Bearer realm="dbnet"', 'the answer says what is asked for');
$answer = $api->answers($api->get('dbnet_' . 'x' x 43, '/schemas'), 401, 'an unknown token', undef, qr/not known, or was revoked/);
is($answer->{headers}{'www-authenticate'}, 'Bearer realm="dbnet", error="invalid_token"', 'the answer says that the token is at fault');
$api->answers($api->request('GET', '/schemas', headers => { Authorization => "Basic $token" }), 401, 'another scheme than Bearer');
$api->answers($api->request('GET', '/schemas', headers => { Authorization => "bearer   $token" }), 200, 'the scheme in lower case');
$node->psql_ok('GRANT dbnet_ingest TO app', 'app may deliver telemetry');
$api->answers($api->get($api->token('app', 'ingest', q{scope => 'ingest'}), '/schemas'), 403, 'an ingest token', undef, qr/for scope ingest alone/);
my $short = $api->token('app', 'short');
$api->answers($api->get($short, '/schemas'), 200, 'a fresh token');
$node->psql_ok(q{UPDATE dbnet.token SET expires_at = now() - interval '1 s' WHERE name = 'short'}, 'it expires');
$api->answers($api->get($short, '/schemas'), 401, 'an expired token', undef, qr/has expired/);
my $gone = $api->token('app', 'gone');
{
    my $revoking = $node->background_psql('postgres');
    $revoking->query_safe(q{BEGIN; SELECT dbnet.revoke_token('gone')});
    $api->answers($api->get($gone, '/schemas'), 200, 'a token that is about to be revoked is good, and nobody waits for that');
    $revoking->query_safe('ROLLBACK');
    $revoking->quit;
}
$node->psql_ok(q{SELECT dbnet.revoke_token('gone')}, 'it is revoked');
$api->answers($api->get($gone, '/schemas'), 401, 'a revoked token, at once', undef, qr/not known, or was revoked/);
my $files = $api->token('files', 'files', 'privileged => true');
is($api->rows($files, 'SELECT current_user AS me')->[0]{me}, 'files', 'a privileged token, by a superuser\'s word');
$node->psql_ok(q{UPDATE dbnet.token SET privileged = false WHERE name = 'files'}, 'it is privileged no more');
$api->answers($api->get($files, '/schemas'), 403, 'then it does not come in', undef, qr/may use files or programs of the server/);
$node->psql_ok('ALTER ROLE other CREATEROLE', 'a role becomes privileged after its token was made');
$api->answers($api->get($other, '/schemas'), 403, 'the token is refused from then on', undef, qr/role "other" may create roles/);
$node->psql_ok('ALTER ROLE other NOCREATEROLE NOLOGIN', 'a role that may not log in');
$api->answers($api->get($other, '/schemas'), 403, 'its token does not come in', undef, qr/not permitted to log in/);
$node->psql_ok('ALTER ROLE other LOGIN; ALTER ROLE other RENAME TO partner', 'a role that is renamed');
is($api->rows($other, 'SELECT current_user AS me')->[0]{me}, 'partner', 'its token goes on');

# --- the paper's first example ---
$answer = $api->post($token, '/schemas', { name => 'net', comment => 'the network' });
is("$answer->{status} $answer->{content}", qq[201 {"schema": "net"}\n], 'a schema');
is($answer->{headers}{'content-type'}, 'application/json', 'answers are JSON');
$answer = $api->post($token, '/tables', { name => 'net.load_balancers', track => JSON::PP::false, columns => [
    { name => 'name', type => 'text', primary_key => JSON::PP::true },
    { name => 'ingress traffic', type => 'double precision', not_null => JSON::PP::true, default => '0', check => '"ingress traffic" >= 0' } ] });
is("$answer->{status} $answer->{content}", qq[201 {"table": "net.load_balancers"}\n], 'a table');
$answer = $api->post($token, '/tables', { name => 'net.nodes', columns => [
    { name => 'name', type => 'text', primary_key => JSON::PP::true },
    { name => 'balancer', type => 'text', references => 'net.load_balancers', on_delete => 'cascade' } ] });
is($answer->{status}, 201, 'another one');
$answer = $api->post($token, '/procedures', { name => 'net.scale_up', returns => 'trigger', body =>
    q{BEGIN INSERT INTO net.nodes SELECT NEW.name || '-' || count(*) + 1, NEW.name FROM net.nodes WHERE balancer = NEW.name; RETURN NULL; END} });
is("$answer->{status} $answer->{content}", qq[201 {"procedure": "net.scale_up()"}\n], 'a procedure for triggers');
$answer = $api->post($token, '/procedures', { name => 'net.observe', body =>
    q{BEGIN UPDATE net.load_balancers SET "ingress traffic" = traffic WHERE name = balancer; SELECT count(*) INTO nodes FROM net.nodes n WHERE n.balancer = observe.balancer; END},
    arguments => [ { name => 'balancer', type => 'text' }, { name => 'traffic', type => 'double precision' }, { name => 'nodes', type => 'bigint', mode => 'out' } ] });
is("$answer->{status} $answer->{content}", qq[201 {"procedure": "net.observe(text,double precision)"}\n], 'a procedure');
$answer = $api->post($token, '/triggers', { name => 'overload', relation => 'net.load_balancers', procedure => 'net.scale_up()', events => ['update'],
    columns => ['ingress traffic'], condition => 'NEW."ingress traffic" > 1000 AND OLD."ingress traffic" <= 1000' });
is("$answer->{status} $answer->{content}", qq[201 {"trigger": "overload"}\n], 'a trigger');
$node->psql_ok(q{SELECT dbnet.track('net.nodes')}, 'nodes are tracked');
$answer = $api->post($token, '/transactions', { operations => [
    { execute => { statement => 'INSERT INTO net.load_balancers (name) VALUES ($1), ($2)', parameters => [ 'a', q{b'"; --} ] } },
    { call_procedure => { name => 'net.observe', arguments => { balancer => 'a', traffic => 500 } } } ] });
is_deeply([ $answer->{status}, $answer->{body}{results}[0]{row_count}, $answer->{body}{results}[1] ], [ 200, 2, { nodes => 0 } ], 'a transaction');
my $parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
$answer = $api->post($token, '/calls', { name => 'net.observe', arguments => [ 'a', 1500 ] }, headers => { traceparent => $parent });
is("$answer->{status} $answer->{content}", qq[200 {"result": {"nodes": 1}}\n], 'a call, arguments by place; its trigger has fired');
is_deeply($api->rows($token, 'SELECT * FROM net.nodes'), [ { name => 'a-1', balancer => 'a' } ], 'a query');

# --- what is on record ---
$node->query_is(q{SELECT traceparent, session_user_name, application_name, client_address, process FROM dbnet.transaction AS t JOIN dbnet.session AS s ON s.id = t.session
    WHERE t.transaction = (SELECT transaction FROM dbnet.history('net.nodes', 'a-1') LIMIT 1)},
    "$parent|app|dbnet api deploy|127.0.0.1|dbnet api session", 'which trace, role, client and token');
like($node->psql_ok(q{SELECT dbnet.why('net.nodes', 'a-1')}, 'why the node is there'), qr{trigger +overload.*call +net\.observe\(balancer => "a", traffic => 1500\).*who +app, dbnet api deploy, from 127\.0\.0\.1}s, 'through trigger and call');
$node->query_is(q{SELECT arguments->>'name' FROM dbnet.activity WHERE kind = 'C' AND name LIKE 'dbnet.create\_%' ORDER BY id},
    join("\n", 'net', 'net.load_balancers', 'net.nodes', 'net.scale_up', 'net.observe', 'overload'), 'what was created, as calls with their arguments');

$api->post($token, '/transactions', { operations => [ { execute => { statement => q{SET application_name = 'somebody else'} } },
    { execute => { statement => q{INSERT INTO net.nodes VALUES ('forged')} } } ] });
$node->query_is(q{SELECT application, client FROM dbnet.history('net.nodes', 'forged')}, 'dbnet api deploy|127.0.0.1', 'a request cannot pass for somebody else');
is($api->post($token, '/transactions', { operations => [ { execute => { statement => q{DELETE FROM net.nodes WHERE name = 'forged'} } } ] })->{status}, 200, 'it is taken back');

# --- lists ---
is_deeply([ map { $_->{name} } @{ $api->get($token, '/schemas')->{body}{schemas} } ], [ 'dbnet', 'net', 'otel', 'public', 'shop' ], 'schemas');
is_deeply([ map { "$_->{schema}.$_->{name}" } @{ $api->get($token, '/tables')->{body}{tables} } ], [ 'net.load_balancers', 'net.nodes', 'shop.orders' ], 'tables of the role');
is_deeply([ map { "$_->{name} $_->{type}" } @{ $api->get($token, '/tables?schema=shop')->{body}{tables}[0]{columns} } ], [ 'id integer', 'owner text' ], 'columns of one schema\'s');
is_deeply([ map { "$_->{kind} $_->{name}" } @{ $api->get($token, '/procedures?schema=net')->{body}{procedures} } ], [ 'procedure observe', 'function scale_up' ], 'procedures');
is_deeply([ map { "$_->{relation} $_->{name} $_->{procedure}" } grep { $_->{name} !~ /^dbnet/ } @{ $api->get($token, '/triggers?schema=net')->{body}{triggers} } ],
    ['load_balancers overload net.scale_up()'], 'triggers');

# --- rights are the role's ---
is_deeply($api->rows($token, 'SELECT id FROM shop.orders'), [ { id => 1 } ], 'row-level security, one role');
is_deeply($api->rows($other, 'SELECT id FROM shop.orders'), [], 'and another one: the policy goes by the name');
my $query = sub { return $api->post($token, '/query', { statement => $_[0] }) };
$api->answers($query->('SELECT * FROM shop.secret'), 403, 'a table without right', '42501', qr/permission denied for table secret/);
$api->answers($query->(q{SELECT pg_read_file('PG_VERSION')}), 403, 'a superuser\'s function', '42501');
$api->answers($query->('SET ROLE postgres'), 403, 'SET ROLE', '42501');
$api->answers($query->('SET SESSION AUTHORIZATION postgres'), 403, 'SET SESSION AUTHORIZATION', '42501');
for my $reset ('RESET ROLE', 'RESET SESSION AUTHORIZATION', 'SET SESSION AUTHORIZATION DEFAULT') {
    $answer = $api->post($token, '/transactions', { operations => [ { execute => { statement => $reset } },
        { execute => { statement => 'SELECT current_user AS me, session_user AS login' } } ] });
    is_deeply($answer->{body}{results}[1]{rows}, [ { me => 'app', login => 'app' } ], "$reset leads nowhere");
}
$api->answers($query->('INSERT INTO net.nodes VALUES (1)'), 403, 'a query that writes', '25006', qr/read-only transaction/);
$api->answers($query->('SELECT * FROM net.nodes FOR UPDATE'), 403, 'a query that locks', '25006');
$api->answers($query->('SET TRANSACTION READ WRITE'), 400, 'a query that would write', '25001');
$api->answers($query->('DO $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO net.nodes VALUES (1); END $$'), 400, 'a block that would', '25001');
is_deeply($api->rows($token, 'SELECT count(*) AS n FROM net.nodes'), [ { n => 1 } ], 'nothing was written');

# --- nothing is left of a request in the next one ---
$api->post($token, '/transactions', { operations => [ map { { execute => { statement => $_ } } } q{SET work_mem = '77MB'}, q{SET search_path = net},
    'CREATE TEMP TABLE leftover (a integer)', 'PREPARE leftover AS SELECT 1', 'LISTEN leftover', 'SELECT pg_advisory_lock(7)' ] });
is_deeply($api->rows($token, q{SELECT current_setting('work_mem') AS memory, current_setting('search_path') AS path, to_regclass('pg_temp.leftover') AS temporary,
    (SELECT count(*) FROM pg_prepared_statements) AS prepared, (SELECT count(*) FROM pg_listening_channels()) AS channels,
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') AS locks}),
    [ { memory => '4MB', path => '"$user", public', temporary => undef, prepared => 0, channels => 0, locks => 0 } ], 'settings, temporary tables, statements, channels and locks are gone');

# --- answers of queries ---
$answer = $api->post($token, '/query', { statement => 'SELECT n, NULL AS nothing FROM generate_series(1, $1::int) AS n', parameters => [60], row_limit => 2 });
is_deeply($answer->{body}, { command => 'SELECT', columns => [ { name => 'n', type => 'integer' }, { name => 'nothing', type => 'text' } ],
    rows => [ { n => 1, nothing => undef }, { n => 2, nothing => undef } ], row_count => 2, truncated => JSON::PP::true }, 'a row limit');
$answer = $api->post($token, '/query', { statement => 'SELECT n FROM generate_series(1, 60) AS n', row_limit => 1000 });
is_deeply([ @{ $answer->{body} }{qw(row_count truncated)} ], [ 50, JSON::PP::true ], 'dbnet.api_row_limit wins');
$answer = $api->post($token, '/query', { statement => q{SELECT 1 AS a, 'x,"y' AS "b c", NULL AS d, '' AS e} }, headers => { Accept => 'text/csv' });
is($answer->{content}, qq[a,b c,d,e\r\n1,"x,""y",,""\r\n], 'CSV');
is($answer->{headers}{'content-type'}, 'text/csv; charset=utf-8', 'says that it is');
ok(!exists $answer->{headers}{'dbnet-truncated'}, 'whole');
for my $case ([ 60, 'true', 50 ], [ 50, '', 50 ]) {
    my ($there, $told, $given) = @$case;
    $answer = $api->post($token, '/query', { statement => "SELECT n FROM generate_series(1, $there) AS n" }, headers => { Accept => 'text/csv' });
    my $lines = () = $answer->{content} =~ /\n/g;
    is("$lines " . ($answer->{headers}{'dbnet-truncated'} // ''), ($given + 1) . " $told", "CSV of $there rows says whether it is cut");
}
is_deeply($api->rows($token, 'SELECT $1::jsonb AS j, $2::int[] AS a, $3::timestamptz AS t, $4 AS x', { k => [ 1, undef ] }, [ 1, 2 ], '2026-01-01T00:00:00Z', "\x{2603}"),
    [ { j => { k => [ 1, undef ] }, a => [ 1, 2 ], t => '2026-01-01T00:00:00+00:00', x => "\x{2603}" } ], 'parameters of many types');

# --- errors ---
$answer = $api->answers($query->('SELECT * FROM no.where'), 404, 'a table that is not there', '42P01');
is_deeply($answer->{body}{error}, { sqlstate => '42P01', message => 'relation "no.where" does not exist', position => 15, statement => 'SELECT * FROM no.where' }, 'with all that is known');
$api->answers($query->('SELECT 1; SELECT 2'), 400, 'two statements', '42601', qr/more than one statement/);
$api->answers($query->('COMMIT'), 400, 'the end of the transaction', '0A000');
$api->answers($query->('SELECT $1'), 400, 'a parameter without value', '42P02');
$api->answers($api->post($token, '/schemas', { name => 'net' }), 409, 'what is there already', '42P06');
$api->answers($api->post($token, '/schemas', {}), 400, 'a missing member', '22023', qr/members are not those/);
$api->answers($api->post($token, '/schemas', { name => 'x', nmae => 'y' }), 400, 'an unknown member', '22023', qr/openapi\.json/);
$api->answers($api->post($token, '/query', { statement => 'SELECT 1', rows => 5 }), 400, 'one of a query', '22023', qr/Known are: parameters, row_limit, statement, timeout\./);
$api->answers($api->post($token, '/transactions', { operations => [ { create_schema => { name => 'x', nmae => 'y' } } ] }), 400, 'one of an operation', '22023',
    qr/operation 1 of 1: dbnet\.create_schema does not take these arguments/);
$api->answers($api->post($token, '/tables', { name => 'net.x', columns => [ { name => 'a', type => 'float8', generated => 'random()' } ] }), 400, 'an expression that cannot be one', '42P17');
$api->post($token, '/procedures', { name => 'net.commits', body => q{BEGIN COMMIT; END} });
$api->answers($api->post($token, '/calls', { name => 'net.commits' }), 400, 'a procedure that would end the transaction', '2D000');
$api->answers($api->post($token, '/calls', { name => 'net.no_such' }), 404, 'a procedure that is not there', '42883');
$api->answers($api->post($token, '/calls', { name => 'net.observe', arguments => { balancer => 'a', traffic => 'much' } }), 400, 'a value of another type', '22P02');
$api->answers($api->post($token, '/transactions', { operations => [ { execute => { statement => q{INSERT INTO net.load_balancers VALUES ('c')} } },
    { execute => { statement => q{INSERT INTO net.load_balancers VALUES ('c')} } } ] }), 409, 'a transaction that fails', '23505', qr/operation 2 of 2, execute/);
is_deeply($api->rows($token, q{SELECT count(*) AS n FROM net.load_balancers WHERE name = 'c'}), [ { n => 0 } ], 'leaves nothing');
$api->post($token, '/procedures', { name => 'net.teapot', body => q{BEGIN RAISE EXCEPTION 'short and stout' USING ERRCODE = 'PT418', HINT = 'no coffee'; END} });
$api->answers($api->post($token, '/calls', { name => 'net.teapot' }), 418, 'a status that a procedure asks for', 'PT418', qr/no coffee/);
$api->answers($api->request('POST', '/query', token => $token, content => '{"statement": '), 400, 'broken JSON', '22P02');
$api->answers($api->request('POST', '/query', token => $token, content => '[1]'), 400, 'no object', '22023');
$api->answers($api->request('POST', '/query', token => $token, content => qq[{"statement": "SELECT '\xff'"}]), 400, 'no UTF-8', '22021');
$api->answers($api->request('POST', '/query', token => $token, content => qq[{"statement": "SELECT 1"}\0]), 400, 'a NUL', '22P05');
$api->answers($api->request('POST', '/query', token => $token, content => '{"a":' . '[' x 100_000), 400, 'deep nesting', '54001');
$api->answers($api->request('POST', '/query', token => $token, content => 'a=1', headers => { 'Content-Type' => 'application/x-www-form-urlencoded' }), 415, 'a form');
$api->answers($api->request('POST', '/query', token => $token, content => '{}', headers => { 'Content-Encoding' => 'gzip' }), 415, 'a compressed body');
my $large = $api->post($token, '/query', { statement => 'SELECT length($1) AS n', parameters => [ 'x' x 1_000_000 ] });
is_deeply($large->{body}{rows}, [ { n => 1_000_000 } ], 'a body of a megabyte');
$api->answers($api->post($token, '/query', { statement => 'SELECT length($1)', parameters => [ 'x' x 2_200_000 ] }), 413, 'a body above the limit');
is(length($api->rows($token, q{SELECT repeat('x', 1000000) AS x})->[0]{x}), 1_000_000, 'an answer of a megabyte');
$api->answers($query->(q{SELECT repeat('x', 3000000)}), 400, 'an answer above the limit', '54000');
$api->answers($api->post('dbnet_nobody', '/query', { statement => 'x' x 100_000 }), 401, 'a large body of somebody unknown');

# --- hostile names stay names ---
for my $name (q{a"b'c; DROP SCHEMA net CASCADE; --}, "\x{fc}ml\x{e4}ut", 'select', ' ') {
    is($api->post($token, '/schemas', { name => $name })->{status}, 201, "schema '" . ($name =~ s/[^ -~]/?/gr) . "'");
}
$api->answers($api->post($token, '/tables', { name => 'net.x; DROP TABLE net.nodes', columns => [] }), 400, 'a table\'s name that is none', '42602');
$api->answers($api->post($token, '/tables', { name => 'net.x', columns => [ { name => 'a', type => 'int', default => '0), b int DEFAULT (1' } ] }), 400, 'a default that is none', '42601');
$api->answers($api->post($token, '/tables', { name => 'net.x', columns => [ { name => 'a', type => 'int); DROP TABLE net.nodes; --' } ] }), 400, 'a type that is none', '42601');
is_deeply($api->rows($token, 'SELECT count(*) AS n FROM net.nodes'), [ { n => 1 } ], 'all is there');

# --- the document is true to the routes ---
my $document = $api->get(undef, '/openapi.json')->{body};
is($document->{openapi}, '3.1.0', 'an OpenAPI document, for everybody');
for my $path (sort keys %{ $document->{paths} }) {
    my $local = $path =~ s{^/api/v1}{}r;
    my %methods = map { uc($_) => $document->{paths}{$path}{$_} } keys %{ $document->{paths}{$path} };
    my $refused = $api->request('DELETE', $local, token => $token);
    is("$refused->{status} " . join(', ', sort split /, /, $refused->{headers}{allow}), '405 ' . join(', ', sort keys %methods), "$path takes what it says");
    for my $method (sort keys %methods) {
        my $operation = $methods{$method};
        is($api->request($method, $local)->{status}, $operation->{security} ? 200 : 401, "$method $path: who needs a token") if $method eq 'GET';
        next if !$operation->{requestBody};
        my $schema = $operation->{requestBody}{content}{'application/json'}{schema};
        $api->answers($api->post($token, $local, {}), 400, "$method $path: required members", '22023');
        my %every = map { $_ => undef } keys %{ $schema->{properties} };
        my $all = $api->post($token, $local, \%every);
        unlike($all->{content}, qr/members are not those|unknown member/, "$method $path: knows every member of the document");
    }
}
# What OpenAPI 3.1 asks of every document: what is referred to is there, what must be said is said, once.
my (@problems, %operation_ids);
my $look = sub {
    my ($look, $value, $place) = @_;
    if (ref $value eq 'ARRAY') { $look->($look, $value->[$_], "$place/$_") for 0 .. $#$value }
    return if ref $value ne 'HASH';
    if (defined(my $reference = ref $value->{'$ref'} ? undef : $value->{'$ref'})) {
        my $target = $document;
        $target = ref $target eq 'HASH' ? $target->{$_} : undef for split m{/}, $reference =~ s{^#/}{}r;
        push @problems, "$place: there is no $reference" if ref $target ne 'HASH';
    }
    if (ref $value->{properties} eq 'HASH' && $place !~ m{/properties$}) {
        push @problems, "$place: required $_ is no property" for grep { !$value->{properties}{$_} } @{ $value->{required} // [] };
        push @problems, "$place: an object that is none" if ($value->{type} // '') ne 'object';
    }
    push @problems, "$place: type $value->{type}"
      if defined $value->{type} && !ref $value->{type} && $place =~ m{schema} && $place !~ m{/properties$} && $value->{type} !~ /^(?:object|array|string|integer|number|boolean|null)$/;
    $look->($look, $value->{$_}, "$place/$_") for sort keys %$value;
};
$look->($look, $document, '#');
for my $path (sort keys %{ $document->{paths} }) {
    push @problems, "$path: does not begin with /" if $path !~ m{^/};
    for my $method (sort keys %{ $document->{paths}{$path} }) {
        my $operation = $document->{paths}{$path}{$method};
        push @problems, "$path: method $method" if $method !~ /^(?:get|put|post|delete|options|head|patch|trace)$/;
        push @problems, "$method $path: operationId" if ($operation->{operationId} // '') eq '' || $operation_ids{ $operation->{operationId} }++;
        push @problems, "$method $path: no responses" if !%{ $operation->{responses} // {} };
        push @problems, "$method $path: response $_" for grep { !/^(?:[1-5]\d\d|default)$/ || !($operation->{responses}{$_}{description} // $operation->{responses}{$_}{'$ref'}) } keys %{ $operation->{responses} };
    }
}
for my $parameter (values %{ $document->{components}{parameters} }) {
    push @problems, "parameter $parameter->{name}" if !$parameter->{schema} || $parameter->{in} !~ /^(?:query|header|path|cookie)$/;
}
push @problems, "info.$_" for grep { ($document->{info}{$_} // '') eq '' } qw(title version);
push @problems, "security scheme $_" for grep { !$document->{components}{securitySchemes}{$_} } map { keys %$_ } @{ $document->{security} };
is_deeply(\@problems, [], 'a valid one');
$api->answers($api->get($token, '/nothing'), 404, 'an unknown path', undef, qr/openapi\.json lists/);

# --- a session does not grow with what it has served ---
$node->psql_ok('GRANT pg_read_all_stats TO app', 'app may see how much memory is in use');
my $used = sub {
    $query->('SELECT * FROM no.where') for 1 .. $_[0]; # an error each
    return $api->rows($token, 'SELECT sum(used_bytes) AS n FROM pg_backend_memory_contexts')->[0]{n};
};
my $before = $used->(50);
cmp_ok($used->(300) - $before, '<', 30_000, '300 requests leave less than 100 bytes each');

# --- the token is nowhere but with its owner ---
my $secret = $token =~ s/^dbnet_//r;
ok(index(PostgreSQL::Test::Utils::slurp_file($node->logfile), $secret) < 0, 'not in the log');
$node->query_is("SELECT count(*) FROM dbnet.activity AS a WHERE a::text LIKE '%$secret%'", '0', 'not on record');
$node->query_is("SELECT count(*) FROM pg_stat_activity AS a WHERE a::text LIKE '%$secret%' AND pid <> pg_backend_pid()", '0', 'not in pg_stat_activity');
$node->query_is(q{SELECT count(*) FROM dbnet.entity_version AS v WHERE v::text LIKE '%hash%'}, '0', 'nor what it is recognised by');
$node->query_is(q{SELECT last_client, now() - last_used_at < interval '5 min' FROM dbnet.token_status WHERE name = 'deploy'}, '127.0.0.1|t', 'when it was last used, and from where');

$node->no_crash_in_log;
done_testing();
