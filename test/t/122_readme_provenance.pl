# What README shows below "Why did this happen" is what the server answers.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Documented;
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
done_testing;
