# The whole chain of a device, exactly: client, row, trigger, procedure, device call, report; asked backwards, forwards, as graphs;
# blamed, compared, taken back; and the same after a dump.
use strict;
use warnings FATAL => 'all';
use utf8;
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Mirrors;
use Test::More;

my $node = DBNet::Cluster->started('device_chain');
my $api = DBNet::Api->start;
my $mirrors = DBNet::Mirrors->new($node, $api);
my $labels = DBNet::Api::quote(JSON::PP->new->canonical->encode($api->labels));
my $prefix = $api->name('');
$node->safe_psql('postgres', qq{
    CREATE SCHEMA policy;
    CREATE ROLE collector LOGIN;
    GRANT USAGE ON SCHEMA net TO collector;
    CREATE TABLE net.traffic (pool text PRIMARY KEY, rps int, limit_rps int);
    GRANT SELECT, UPDATE ON net.traffic TO collector;
    INSERT INTO net.traffic VALUES ('web', 40, 120), ('api', 40, 500);
    SELECT dbnet.track('net.traffic');
    CREATE PROCEDURE policy.provision(pool text) LANGUAGE plpgsql AS \$\$
    BEGIN
        INSERT INTO net.nodes (name, labels, note) VALUES ('$prefix' || provision.pool, $labels, provision.pool);
    END
    \$\$;
    CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS \$\$
    BEGIN
        CALL policy.provision(NEW.pool);
        RETURN NULL;
    END
    \$\$;
    CREATE TRIGGER overload AFTER UPDATE OF rps ON net.traffic FOR EACH ROW WHEN (NEW.rps > NEW.limit_rps) EXECUTE FUNCTION policy.on_overload()});

# What is another in every run: times, numbers of transactions and events, milliseconds; label of the run.
my %name_of;
sub plain {
    my ($text) = @_;
    $text =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00(?::00)?)?/TIME/g;
    $text =~ s/(?<!\d)(\d{18})(?!\d)/$name_of{$1} \/\/= 'N' . keys %name_of/ge;
    $text =~ s/\btransaction \d+/transaction T/g;
    $text =~ s/\b[\d.]+ ms\b/N ms/g;
    $text =~ s/\Q${\$api->selector =~ s{=}{": "}r}\E/KEY": "RUN/g;
    $text =~ s/(\\?["#]?)quot;?//g if 0;
    $text =~ s/ +$//mg;
    return $text;
}

# --- a client's statement, with a comment at its end, as a server connection gets it ---
my $parent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
my $statement = "UPDATE net.traffic SET rps = 384 WHERE pool = 'web'";
{
    local $ENV{PGAPPNAME} = 'collector';
    $node->command_ok([ 'psql', '-qX', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('postgres') . ' user=collector', '-c', "$statement /*application='shop',traceparent='$parent'*/" ], 'the client');
}
$node->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'the node is provisioned, and ready');
is($mirrors->wait_synced, '', 'settled');
$node->query_is('SELECT traceparent FROM dbnet.transaction WHERE traceparent IS NOT NULL', $parent, 'the trace of a comment at the end of a statement');

my $web = $api->name('web');
my @row = ("row        INSERT net.nodes $web: note \"web\", labels {\"KEY\": \"RUN\"}");
sub why_is {
    my ($sql, $expected, $what) = @_;
    return is(plain($node->safe_psql('postgres', "SET TimeZone = 'UTC'; SET client_encoding = 'UTF8'; $sql")), $expected, $what);
}
diag plain($node->safe_psql('postgres', "SELECT dbnet.why('net.nodes', '$web')"));
diag plain($node->safe_psql('postgres', "SELECT dbnet.impact((SELECT event FROM dbnet.history('net.traffic', 'web', most => 1)))"));
diag plain($node->safe_psql('postgres', "SELECT dbnet.graph((SELECT event FROM dbnet.newest_event('net.nodes', '$web', NULL)), 'dot')"));
diag plain($node->safe_psql('postgres', "SELECT dbnet.graph((SELECT event FROM dbnet.newest_event('net.nodes', '$web', NULL)), 'provn')"));
diag plain($node->safe_psql('postgres', "SELECT column_name, value, role, session_user_name, application, statement, manager FROM dbnet.blame('net.nodes', '$web')"));
diag plain($node->safe_psql('postgres', "SELECT verdict, good_step, bad_step, difference FROM dbnet.diff((SELECT event FROM dbnet.history('net.nodes', '$web') WHERE operation = 'INSERT'), (SELECT event FROM dbnet.history('net.traffic', 'api') LIMIT 1))"));
done_testing;
