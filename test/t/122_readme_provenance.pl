# What README shows below "Why did this happen", and docs/provenance.md, is what the server answers.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Documented;
use JSON::PP ();
use Test::More;

my ($section) = PostgreSQL::Test::Utils::slurp_file("$ENV{DBNET_TOP}/README.md") =~ /^## Why did this happen\n(.*?)^## /ms or die 'README.md has no such section';
my $node = DBNet::Cluster->started('readme_provenance');
$node->safe_psql('postgres', <<'SQL');
CREATE ROLE collector LOGIN;
CREATE SCHEMA net;
CREATE SCHEMA policy;
CREATE TABLE net.pools (name text PRIMARY KEY, replicas int, image text);
CREATE TABLE net.nodes (name text PRIMARY KEY, pool text, size text);
CREATE TABLE net.accounts (name text PRIMARY KEY, password text);
CREATE TABLE net.traffic (pool text PRIMARY KEY, rps int, limit_rps int);
INSERT INTO net.traffic VALUES ('web', 40, 120), ('api', 40, 500);
CREATE PROCEDURE policy.scale_out(pool text, count int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..count LOOP
        INSERT INTO net.nodes VALUES (format('%s-%s', scale_out.pool, i), scale_out.pool, 'small');
    END LOOP;
END
$$;
CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CALL policy.scale_out(NEW.pool, 2);
    RETURN NULL;
END
$$;
CREATE TRIGGER overload AFTER UPDATE OF rps ON net.traffic FOR EACH ROW WHEN (NEW.rps > NEW.limit_rps) EXECUTE FUNCTION policy.on_overload();
GRANT USAGE ON SCHEMA net, policy TO collector;
GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA net TO collector;
SQL

my $examples = DBNet::Documented->new($node, $section);
my ($track, $change) = $section =~ /^```sql\n(SELECT dbnet\.track.*?;)\n--[^\n]*\n(.*?;)\n```/ms or die 'README.md does not say what is tracked';
is($examples->answer($track) =~ /ERROR/, '', 'tables are tracked');
is($examples->answer($_), '', $_) for q{INSERT INTO net.pools VALUES ('web', 3, 'nginx:1.28')}, q{UPDATE net.pools SET image = 'nginx:1.29' WHERE name = 'web'},
  q{UPDATE net.pools SET replicas = 5 WHERE name = 'web'};
is($examples->answer($change, 'collector'), '', 'and the client changes one');
my ($documented) = $section =~ /\btransaction (\d+)/;
my $transaction = $node->safe_psql('postgres', q{SELECT transaction FROM dbnet.history('net.traffic', 'web', most => 1)});

$node->safe_psql('postgres', 'SELECT ' . ($section =~ /`(dbnet\.track\('net\.accounts'[^`]*)`/)[0]);

cmp_ok($examples->run_all(replace => { "'$documented'" => "'$transaction'" }), '>=', 30, 'all examples were found');

my ($picture) = $section =~ /^```\n(flowchart .*?)^```/ms;
my %drawn = map { $_ => 1 } split /\n/, DBNet::Documented::comparable($node->safe_psql('postgres', q{SELECT dbnet.graph((SELECT event FROM dbnet.history('net.nodes', 'web-2') WHERE session_user_name = 'collector'), 'mermaid')}) =~ s/\d{18}/EVENT/gr);
is(join("\n", grep { !$drawn{$_} && !/…/ } split /\n/, DBNet::Documented::comparable($picture =~ s/\d{18}/EVENT/gr)), '', 'the picture holds what is shown of it');

# --- docs/provenance.md ---
my $page = PostgreSQL::Test::Utils::slurp_file("$ENV{DBNET_TOP}/docs/provenance.md");
my $api = DBNet::Api->start(kind => 'simulator');
my $other = DBNet::Cluster->started('docs_provenance');
$other->safe_psql('postgres', $api->create_server('prod') . <<'SQL');
CREATE ROLE collector LOGIN;
CREATE SCHEMA net;
CREATE SCHEMA policy;
CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, unschedulable boolean, ready text);
SELECT dbnet.mirror('prod', 'v1', 'Node', 'net.nodes', mode => 'manage', columns => '{"name": "metadata.name", "labels": "metadata.labels", "unschedulable": "spec.unschedulable",
    "ready": "status.conditions[type=Ready].status"}');
CREATE TABLE net.traffic (pool text PRIMARY KEY, rps int, limit_rps int, weight int);
INSERT INTO net.traffic VALUES ('web', 40, 120, 1), ('api', 40, 500, 1);
SELECT dbnet.track('net.traffic');
CREATE PROCEDURE policy.scale_out(pool text) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.nodes (name, labels) VALUES (scale_out.pool || '-1', jsonb_build_object('pool', scale_out.pool));
END
$$;
CREATE FUNCTION policy.on_overload() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    CALL policy.scale_out(NEW.pool);
    RETURN NULL;
END
$$;
CREATE TRIGGER overload AFTER UPDATE OF rps ON net.traffic FOR EACH ROW WHEN (NEW.rps > NEW.limit_rps) EXECUTE FUNCTION policy.on_overload();
GRANT USAGE ON SCHEMA net TO collector;
GRANT SELECT, UPDATE ON net.traffic TO collector;
SQL
$other->wait_for(q{SELECT state = 'synced' FROM dbnet.mirror_status}, 'the mirror is listed');
my $shown = DBNet::Documented->new($other, $page);
is($shown->answer(($page =~ /^```sql\n(.*?;)\n```/ms)[0], 'collector'), '', 'the client');
$other->wait_for(q{SELECT ready = 'True' FROM net.nodes}, 'the node is ready');
$other->wait_for(q{SELECT clock_timestamp() > date_trunc('second', max(at)) + interval '1 s' FROM dbnet.history('net.nodes', 'web-1')}, 'the next second, by which the server tells changes apart');
$api->expect_success($api->patch('/api/v1/nodes/web-1', { spec => { unschedulable => JSON::PP::true() } }, query => { fieldManager => 'kubectl-cordon' }));
$other->wait_for(q{SELECT unschedulable FROM net.nodes}, 'kubectl cordons it');
my $before = sub {
    my ($statement) = @_;
    $other->wait_for(q{SELECT phase = 'pending' FROM dbnet.object_status}, 'the worker has seen the change') if $statement =~ /dbnet\.why_not/;
};
cmp_ok($shown->run_all(before => $before), '>=', 25, 'all examples were found');
done_testing;
