# dbnet.check_server() and dbnet.kinds(): what a backend learns of an API server, and what it says when it cannot.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use Test::More;

my $api  = DBNet::Api->start(controllers => 0);
my $node = DBNet::Cluster->started('main');
$node->psql_ok($api->create_server('prod'), 'a server by kubeconfig');

# --- what is served ---
$node->query_is(q{SELECT resource, namespaced, preferred, verbs @> '{create,delete,get,list,patch,watch}' FROM dbnet.kinds('prod')
    WHERE api_version = 'v1' AND kind IN ('Node', 'ConfigMap', 'Namespace') ORDER BY kind},
    "configmaps|t|t|t\nnamespaces|f|t|t\nnodes|f|t|t", 'kinds of the core group');
$node->query_is(q{SELECT count(*) FROM dbnet.kinds('prod') WHERE resource LIKE '%/%'}, '0', 'subresources are no kinds');
$node->query_is(q{SELECT count(*) = count(DISTINCT (api_version, resource)) FROM dbnet.kinds('prod')}, 't', 'each kind once');

# --- all is well ---
$node->query_is(q{SELECT item, state FROM dbnet.check_server('prod') WHERE item IN ('endpoint', 'connection', 'version')},
    "endpoint|ok\nconnection|ok\nversion|ok", 'the server can be reached');
$node->query_is(q{SELECT detail FROM dbnet.check_server('prod') WHERE item = 'version'}, $api->get('/version')->{body}{gitVersion}, 'its version');
$node->query_is(q{SELECT detail ~ 'round trip \d+\.\d ms' FROM dbnet.check_server('prod') WHERE item = 'connection'}, 't', 'the round trip');
$node->query_is(q{SELECT state IN ('ok', 'unknown') FROM dbnet.check_server('prod') WHERE item = 'identity'}, 't',
    'who the credentials are, where the server tells');
$node->query_is(q{SELECT detail FROM dbnet.check_server('prod') WHERE item = 'rights'}, 'no mirror uses the server yet', 'no mirror yet');

# --- a server that cannot be reached: check_server reports it, kinds raises it ---
my $closed = PostgreSQL::Test::Cluster::get_free_port();
$node->psql_ok("CREATE SERVER closed FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url 'https://127.0.0.1:$closed')", 'a port where nobody listens');
$node->query_is(q{SELECT item, state FROM dbnet.check_server('closed')}, "endpoint|ok\nconnection|failed", 'check_server says so');
$node->query_is(q{SELECT detail <> '' AND hint <> '' FROM dbnet.check_server('closed') WHERE item = 'connection'}, 't', 'with a reason and a hint');
$node->fails_like(q{SELECT * FROM dbnet.kinds('closed')}, '08006', qr/server "closed": .*HINT:/s, 'kinds raises it');

# --- a certificate that nobody signed for us ---
my $url = $api->url;
$node->psql_ok("CREATE SERVER untrusted FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '$url')", 'a server without its authority');
$node->fails_like(q{SELECT * FROM dbnet.kinds('untrusted')}, '08006', qr/certificate/i, 'its certificate is not trusted');

# --- credentials that the server does not know ---
$node->psql_ok("CREATE SERVER unknown_token FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (api_url '$url', insecure_skip_tls_verify 'true');
    CREATE USER MAPPING FOR PUBLIC SERVER unknown_token OPTIONS (token 'nobody-knows-me')", 'a token that nobody knows');
$node->fails_like(q{SELECT * FROM dbnet.kinds('unknown_token')}, '28000', qr/HINT:  .*ALTER USER MAPPING/, 'is refused');
unlike($node->log_since(0), qr/ERROR:.*nobody-knows-me/, 'and not repeated in any error');

# --- a kubeconfig that cannot be used ---
$node->psql_ok(q{CREATE SERVER no_file FOREIGN DATA WRAPPER dbnet_kubernetes OPTIONS (kubeconfig '/nonexistent/config')}, 'a file that is not there');
$node->fails_like(q{SELECT * FROM dbnet.kinds('no_file')}, '08001', qr{/nonexistent/config}, 'is named');
$node->psql_ok($api->create_server('no_context', context => 'elsewhere'), 'a context that is not in the file');
$node->fails_like(q{SELECT * FROM dbnet.kinds('no_context')}, '08001', qr/elsewhere/, 'is named');

# --- a server that hangs: a cancel and statement_timeout end the wait ---
SKIP: {
    DBNet::Need::or_skip('own_servers');
    $api->freeze;
    $node->fails_like(q{SET statement_timeout = '200ms'; SELECT * FROM dbnet.kinds('prod')}, '57014', qr/statement timeout/,
        'statement_timeout ends the wait');
    my $session = $node->background_psql('postgres', on_error_stop => 0);
    $session->query_until(qr/asking/, "\\echo asking\nSELECT * FROM dbnet.check_server('prod');\n");
    $node->wait_for(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dbnet.check_server%' AND wait_event_type = 'Extension'},
        'a backend waits for the server');
    $node->psql_ok(q{SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dbnet.check_server%'}, 'it is cancelled');
    $node->wait_for(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'SELECT * FROM dbnet.check_server%' AND state = 'active'},
        'and stops waiting');
    $api->thaw;
    $session->quit;
    $node->query_is(q{SELECT state FROM dbnet.check_server('prod') WHERE item = 'connection'}, 'ok', 'later calls are not disturbed');
}

# --- nothing stays open in the backend ---
$node->query_is(q{
    CREATE FUNCTION pg_temp.descriptors() RETURNS bigint LANGUAGE sql AS
        $$SELECT count(*) FROM pg_ls_dir('/proc/self/fd')$$;
    SELECT count(*) > 0 FROM dbnet.kinds('prod');
    SELECT pg_temp.descriptors() AS before \gset
    SELECT count(*) > 0 FROM generate_series(1, 20), LATERAL (SELECT * FROM dbnet.kinds('prod') LIMIT 1) AS again;
    SELECT pg_temp.descriptors() - :before},
    "t\nt\n0", 'no descriptor is left open');

# --- owners' rights ---
$node->psql_ok(q{CREATE ROLE app LOGIN; CREATE ROLE operator LOGIN IN ROLE dbnet_operator}, 'two roles');
$node->fails_like(q{SELECT * FROM dbnet.kinds('prod')}, '42501', qr/permission denied for function kinds/, 'PUBLIC opens no connection', role => 'app');
$node->fails_like(q{SELECT * FROM dbnet.kinds('prod')}, '42501', qr/permission denied for foreign server prod/, 'nor does who lacks USAGE', role => 'operator');
$node->psql_ok(q{GRANT USAGE ON FOREIGN SERVER prod TO operator}, 'USAGE');
$node->query_is(q{SELECT count(*) > 0 FROM dbnet.kinds('prod')}, 't', 'is enough', role => 'operator');

$node->no_crash_in_log;
done_testing();
