# What README shows below "Why did this happen" is what the server answers: each of its examples is run, in its order, and
# its output compared, but for times, events' and transactions' numbers, and widths of columns.
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use IPC::Run ();
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

# As somebody at a terminal sees it.
sub answer {
    my ($statement, $user) = @_;
    local $ENV{PGAPPNAME} = $user // 'psql';
    my $output = '';
    IPC::Run::run([ 'psql', '-qX', '-P', 'footer=off', '-d', $node->connstr('postgres') . ($user ? " user=$user" : '') ], '<', \"\\set SHOW_CONTEXT never\nSET TimeZone = 'UTC';\n$statement;\n", '>', \$output, '2>&1');
    return $output =~ s/^psql:<stdin>:\d+: //mgr;
}

# Without what is another in every run.
sub comparable {
    my ($text, $is_table) = @_;
    $text =~ s/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00)?/TIME/g;
    $text =~ s/\b\d\d:\d\d:\d\d\.\d{3}\b/TIME/g;
    $text =~ s/\b\d{18}\b/EVENT/g;
    $text =~ s/\btransaction \d+/transaction N/g;
    $text =~ s/\bhmac-sha256:[0-9a-f]{64}\b/hmac-sha256:DIGEST/g;
    $text =~ s/^ *\d+ \| [0-9a-f]{64} \| +\d+ /N | ROOT | N /mg;    # of what is sealed by then
    if ($is_table) {
        $text =~ s/^[-+]+\n/----\n/mg;
        $text =~ s/ +/ /g;
    }
    return join "\n", grep { /\S/ } map { s/\s+$//r } split /\n/, $text;
}

my ($track, $change) = $section =~ /^```sql\n(SELECT dbnet\.track.*?;)\n--[^\n]*\n(.*?;)\n```/ms or die 'README.md does not say what is tracked';
is(answer($track) =~ /ERROR/, '', 'tables are tracked');
is(answer($_), '', $_) for q{INSERT INTO net.pools VALUES ('web', 3, 'nginx:1.28')}, q{UPDATE net.pools SET image = 'nginx:1.29' WHERE name = 'web'},
  q{UPDATE net.pools SET replicas = 5 WHERE name = 'web'};
is(answer($change, 'collector'), '', 'and the client changes one');
my ($documented) = $section =~ /\btransaction (\d+)/;
my $transaction = $node->safe_psql('postgres', q{SELECT transaction FROM dbnet.history('net.traffic', 'web', most => 1)});

$node->safe_psql('postgres', 'SELECT ' . ($section =~ /`(dbnet\.track\('net\.accounts'[^`]*)`/)[0]);

# A reload makes the worker look at once: the first look takes note of a moment, a later one seals what came before it.
sub wait_sealed {
    for (1 .. 60) {
        $node->safe_psql('postgres', 'SELECT pg_reload_conf()');
        return if $node->poll_query_until('postgres', 'SELECT count(*) > 0 FROM dbnet.provenance_block', 't', 2);
    }
    return;
}

my $examples = 0;
for my $block ($section =~ /^```\n(=> .*?)^```/msg) {
    # A statement goes on in lines that are indented under it; its answer ends where the next one begins.
    while ($block =~ /^=> (.*(?:\n   \S.*)*)\n((?:(?!=> ).*\n)*)/mg) {
        my ($statement, $wanted) = ($1, $2);
        wait_sealed() if $statement =~ /dbnet\.digest/;
        my $is_table = $wanted =~ /^-[-+]*\n/m;
        my $answer = answer($statement =~ s/;(\s+--.*)?$//r =~ s/'$documented'/'$transaction'/gr);
        $answer =~ s/\A.*\n-[-+]*\n// if !$is_table;
        is(comparable($answer, $is_table), comparable($wanted, $is_table), $statement =~ s/\s+/ /gr);
        ++$examples;
    }
}
cmp_ok($examples, '>=', 30, 'all examples were found');

my ($picture) = $section =~ /^```\n(flowchart .*?)^```/ms;
my %drawn = map { $_ => 1 } split /\n/, comparable($node->safe_psql('postgres', q{SELECT dbnet.graph((SELECT event FROM dbnet.history('net.nodes', 'web-2') WHERE session_user_name = 'collector'), 'mermaid')}) =~ s/\d{18}/EVENT/gr);
is(join("\n", grep { !$drawn{$_} && !/…/ } split /\n/, comparable($picture =~ s/\d{18}/EVENT/gr)), '', 'the picture holds what is shown of it');
done_testing;
