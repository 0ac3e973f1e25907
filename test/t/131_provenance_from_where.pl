# From where a change came: of a client that connects over the network its address and port, of one on this machine
# neither, of each what it calls itself, also when it changes that.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use Test::More;

my $node = DBNet::Cluster->new('where');
$node->init(conf => "listen_addresses = '127.0.0.1'");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION dbnet; CREATE SCHEMA net; CREATE TABLE net.nodes (name text PRIMARY KEY, client_port int); SELECT dbnet.track('net.nodes');
    CREATE ROLE collector LOGIN; GRANT USAGE ON SCHEMA net TO collector; GRANT INSERT ON net.nodes TO collector});
my $insert = sub { "INSERT INTO net.nodes VALUES ('$_[0]', inet_client_port());" };
my $port = $node->port;
$node->safe_psql('postgres', $insert->('near'), connstr => $node->connstr('postgres') . q{ application_name='console'});
$node->safe_psql('postgres', $insert->('far') . "SET application_name = 'night shift';" . $insert->('farther') . $insert->('farthest'),
    connstr => "host=127.0.0.1 port=$port dbname=postgres user=collector application_name='day shift'");

$node->query_is(q{
    SELECT v.key ->> 'name', a.kind, a.name, replace(a.role, current_user, 'SUPERUSER'), replace(s.session_user_name, current_user, 'SUPERUSER'), s.process, s.application_name, s.client_address, s.client_port IS NOT DISTINCT FROM (v.new ->> 'client_port')::int, dense_rank() OVER (ORDER BY s.id)
    FROM dbnet.entity_version AS v JOIN dbnet.activity AS a ON a.id = v.activity JOIN dbnet.transaction AS t ON t.id = a.transaction JOIN dbnet.session AS s ON s.id = t.session
    WHERE v.relation = (SELECT number FROM dbnet.tracked_relation WHERE table_name = 'nodes') ORDER BY v.id}, join("\n",
        'near|S|INSERT|SUPERUSER|SUPERUSER|client backend|console||t|1',
        'far|S|INSERT|collector|collector|client backend|day shift|127.0.0.1|t|2',
        'farther|S|INSERT|collector|collector|client backend|night shift|127.0.0.1|t|3',
        'farthest|S|INSERT|collector|collector|client backend|night shift|127.0.0.1|t|3'), 'each with its session; of one that is called otherwise there is another line');
my $why = q{SELECT string_agg(regexp_replace(regexp_replace(line, '^ *\S+ \S+ +', ''), 'transaction \d+', 'transaction N'), E'\n') FROM dbnet.why('net.nodes', '%s') AS line};
$node->query_is(sprintf($why, 'far') , join("\n",
        q{row        INSERT net.nodes far: client_port } . $node->safe_psql('postgres', q{SELECT client_port FROM net.nodes WHERE name = 'far'}),
        q{statement  INSERT INTO net.nodes VALUES ('far', inet_client_port())},
        'who        collector, day shift, from 127.0.0.1, transaction N'), 'why says so');
$node->query_is(sprintf($why, 'near') =~ s/string_agg\((.*), E/string_agg(replace($1, current_user, 'SUPERUSER'), E/r, join("\n",
        'row        INSERT net.nodes near',
        q{statement  INSERT INTO net.nodes VALUES ('near', inet_client_port())},
        'who        SUPERUSER, console, from this machine, transaction N'), 'and of who is here');
$node->query_is('SELECT count(*) FROM dbnet.verify()', '0', 'the chain of hashes holds');
$node->no_crash_in_log;
$node->stop;
done_testing();
