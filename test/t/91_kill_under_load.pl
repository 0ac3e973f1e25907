# Every process of the server is killed at random points while sessions change mirrors and somebody else changes objects;
# the API server, too. What was committed arrives, once; what was not never does; nobody's object is lost.
#
# A few kills with every check, 100 with `make torture`. DBNET_TORTURE_KILLS says how many, DBNET_TORTURE_SEED repeats a
# schedule and what the sessions try (who wins a race is not repeated).
use strict;
use warnings FATAL => 'all';
use DBNet::Cluster;
use DBNet::Api;
use DBNet::Load;
use List::Util qw(shuffle);
use Test::More;
use Time::HiRes qw(sleep time);

DBNet::Need::need('own_servers');
my $kills = $ENV{DBNET_TORTURE_KILLS} // ($ENV{DBNET_TORTURE} ? 100 : 6);
my $seed = $ENV{DBNET_TORTURE_SEED} // int(time * 1000) % 1_000_000;
my $kills_a_round = 10;
note("DBNET_TORTURE_KILLS=$kills DBNET_TORTURE_SEED=$seed");

my $node = DBNet::Cluster->started('torture', conf => "max_prepared_transactions = 10\ndeadlock_timeout = '100ms'\nwal_writer_delay = '200ms'\n"
      . "dbnet.hold_objects = 100000\ndbnet.hold_minimum = 100000");
my $api = DBNet::Api->start(durable => 1, nodes_ready => 0, controllers => 0);
my $is_simulator = $api->kind eq 'simulator';
my $load = DBNet::Load->new($node, $api, seed => $seed);

# --- the schedule: who is killed, when, and what happens to the API meanwhile ---
sub schedule {
    srand $seed;
    my @first = qw(worker worker backend postmaster everything immediate);
    my @more = (@first, qw(worker worker worker worker backend backend backend launcher postmaster everything everything immediate fast));
    my @who = shuffle @first;
    push @who, shuffle @more while @who < $kills;
    my @when = (('any') x 4, ('answer') x 3, ('commit') x 2, ('start') x 3);
    my @api = ((' ') x ($is_simulator ? 7 : 14), 'killed', ($is_simulator ? 'cut' : ()), 'frozen');
    return map { { number => $_, who => $who[ $_ - 1 ], when => $when[ rand @when ], api => $api[ rand @api ], delay => rand } } 1 .. $kills;
}

# --- processes of the server: pids by what ps shows of them ---
sub processes {
    my ($pattern) = @_;
    my $postmaster = $node->{_pid} // return;
    my @found;
    for my $pid (split ' ', slurp("/proc/$postmaster/task/$postmaster/children")) {
        push @found, $pid if slurp("/proc/$pid/cmdline") =~ $pattern;
    }
    return @found;
}
sub slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; return readline($in) // '' }
sub is_running { my ($pid) = @_; return slurp("/proc/$pid/stat") =~ /\) [^ZX]/ }

# Polls for at most `seconds`: the moment may not come.
sub within {
    my ($seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (time < $deadline) {
        my @result = $condition->();
        return @result if @result && $result[0];
        sleep 0.002;
    }
    return;
}

my %pattern = (worker => qr/dbnet mirror worker/, launcher => qr/dbnet launcher/, backend => qr/\d\) COMMIT|\] COMMIT/);

# Waits for the moment, disturbs the API, kills, and brings everything up again.
sub strike {
    my ($strike) = @_;
    my ($who, $when, $api_is) = @{$strike}{qw(who when api)};
    # During a start, as the next kill after one: while objects are listed and compared.
    sleep($when eq 'start' ? 0.3 * $strike->{delay} : 0.3 + 0.9 * $strike->{delay});
    $api->freeze if $api_is eq 'frozen';
    $api->kill_server if $api_is eq 'killed';
    $api->create("/_sim/$_", {}) for $api_is eq 'cut' ? ('drop_watches?reset=1', 'drop_connections?reset=1') : ();
    if ($when eq 'answer' && $is_simulator && $api_is !~ /killed|frozen/) {
        # Carried out, and the answers are still to come.
        $api->create('/_sim/faults', [ { method => 'PATCH', path => 'fieldManager=dbnet', action => 'hang_after', count => 3 },
                { method => 'DELETE', path => '/(configmaps|widgets)/[cs]', action => 'hang_after', count => 1 } ]);
        sleep 0.1 + 0.2 * $strike->{delay};
    }
    my @pids = $pattern{$who} ? within($when eq 'commit' || $who eq 'backend' ? 1 : 3, sub { processes($pattern{$who}) }) : ();
    @pids = processes(qr/\[local\]/) if $who eq 'backend' && !@pids;
    within(0.5, sub { processes($pattern{backend}) }) if $when eq 'commit' && $who ne 'backend';
    if ($who eq 'fast' || $who eq 'immediate') {
        $node->stop($who);
    } elsif ($who eq 'postmaster' || $who eq 'everything') {
        my @children = processes(qr/./);
        kill 'KILL', $node->{_pid}, @children if $who eq 'everything';
        $node->kill9;
        within(30, sub { !grep { is_running($_) } @children }) or die "processes outlive their postmaster\n";
    } elsif (@pids) {
        kill 'KILL', $pids[0];
    }
    $api->delete('/_sim/faults') if $when eq 'answer' && $is_simulator && $api_is !~ /killed|frozen/;
    if ($api_is =~ /killed|frozen/) {
        sleep 0.5 * $strike->{delay};
        $api->thaw if $api_is eq 'frozen';
        $api->start_server if $api_is eq 'killed';
    }
    $node->start if !defined $node->{_pid};
    within(60, sub { (eval { $node->psql('postgres', 'SELECT 1') } // 1) == 0 }) or die "the server does not come back\n" . $node->diagnostics;
    return;
}

# --- what has to be true at any time: no object shows what was not committed ---
sub uncommitted_tokens {
    my @found;
    for my $relation ($load->relations) {
        my $objects = $load->objects($relation);
        push @found, map { [ "net.$relation", $_, DBNet::Load::token_of($objects->{$_}) ] } grep { DBNet::Load::token_of($objects->{$_}) !~ /^other/ } keys %$objects;
    }
    return without_wish(@found);
}

# Those of [what, name, token] whose token no committed transaction wrote.
sub without_wish {
    my (@seen) = @_;
    my %known = map { $_ => 1 } split /\n/, $node->safe_psql('postgres', 'SELECT DISTINCT token FROM wish WHERE NOT is_report AND token IS NOT NULL');
    return map { "@$_" } grep { !$known{ $_->[2] } } @seen;
}

# --- what has to be true when all is settled ---
sub rows_of { my ($sql) = @_; return map { [ split /\|/, $_, -1 ] } split /\n/, $node->safe_psql('postgres', $sql) }

# What differs between committed rows and objects, as text. Of victims: what nobody can explain.
sub differences {
    my %object = map { $_ => $load->objects($_) } $load->relations;
    my (%row, %phase, @wrong);
    for my $relation ($load->relations) {
        my $token = $relation eq 'widgets' ? 'token' : "data->>'token'";
        $row{$relation}{ $_->[0] } = $_->[1] for rows_of("SELECT name, $token FROM net.$relation");
    }
    $phase{ $_->[0] }{ $_->[1] } = $_->[2] for rows_of('SELECT relname, name, phase FROM dbnet.object JOIN pg_class AS c ON c.oid = relation');
    my %last;
    for my $wish (rows_of(<<'SQL')) {
        SELECT DISTINCT ON (w.relation, w.name) w.relation, w.name, w.operation, w.token, w.id < emptied.id
        FROM wish AS w LEFT JOIN (SELECT relation, max(id) AS id FROM wish WHERE operation = 'T' GROUP BY relation) AS emptied USING (relation)
        WHERE NOT w.is_report AND w.name IS NOT NULL ORDER BY w.relation, w.name, w.id DESC
SQL
        my ($relation, $name, $operation, $token, $is_truncated) = @$wish;
        $last{$relation}{$name} = $wish;
        my $object = $object{$relation}{$name};
        my $row = $row{$relation}{$name};
        my $phase = $phase{$relation}{$name} // '';
        my $is = $object ? DBNet::Load::token_of($object) : 'none';
        my $text = "$relation $name: last $operation $token, row " . ($row // 'none') . ", object $is, phase $phase";
        if ($operation eq 'D') {
            # A victim's deletion waits as long as somebody else keeps what the same transaction wrote before it.
            push @wrong, "not deleted: $text" if defined $row || $object && !($name =~ /v/ && $phase eq 'pending');
        } elsif ($is_truncated eq 't') {    # comes back as the object is, if it was sent before
            push @wrong, "row and object differ: $text" if $is ne ($row // 'none');
        } elsif (!defined $row || $row ne $token) {
            push @wrong, "row is not what was committed: $text";
        } elsif ($name =~ /v/) {
            push @wrong, "victim: $text" if !($object ? $is eq $token || $phase =~ /^(?:drifted|conflict)$/ && $is =~ /^other/ : $phase eq 'absent');
        } elsif (!$object) {
            push @wrong, "lost: $text";
        } elsif ($is ne $token) {
            push @wrong, "object is not what was committed: $text";
        } elsif ($relation ne 'widgets' && ($object->{data}{more} // $is) ne $is) {
            push @wrong, "a part is older: $text";
        }
    }
    for my $relation ($load->relations) {
        for my $name (grep { !$last{$relation}{$_} } keys %{ { %{ $object{$relation} }, %{ $row{$relation} } } }) {
            my $object = $object{$relation}{$name};
            my $is = $object ? DBNet::Load::token_of($object) : 'none';
            push @wrong, "$relation $name: nobody's, row " . ($row{$relation}{$name} // 'none') . ", object $is"
              if $name !~ /^x/ || $is ne ($row{$relation}{$name} // 'none');
        }
    }
    return sort @wrong;
}

# Columns that are nobody's claim show what the API has.
sub reports_missing {
    my $objects = $load->objects('widgets');
    my %row = map { $_->[0] => "$_->[1]|$_->[2]" } rows_of('SELECT name, note, state FROM net.widgets');
    my %live = map { $_ => join '|', $objects->{$_}{spec}{note} // '', $objects->{$_}{status}{state} // '' } keys %$objects;
    return sort map { "$_: note and state " . ($row{$_} // 'none') . ", reported $live{$_}" } grep { ($row{$_} // '') ne $live{$_} } keys %live;
}

# More creations, or deletions, by DBNet than rows asked for; more incarnations than anybody did.
sub duplicates {
    my (%asked, %removed, %done, %uids);
    $asked{"$_->[0] $_->[1]"} = $_ for rows_of(<<'SQL');
        SELECT CASE relation WHEN 'shelf' THEN 'configmaps' WHEN 'configs' THEN 'configmaps' ELSE relation END, name,
            count(*) FILTER (WHERE operation = 'I'), count(*) FILTER (WHERE operation = 'D')
        FROM wish WHERE NOT is_report AND name IS NOT NULL GROUP BY 1, 2
SQL
    my %by_other;
    $by_other{"$_->[0] $_->[1]"}{ $_->[2] } = 1 for $load->noted('other_removes');
    for my $request ($api->requests) {
        my ($kind, $name) = $request->{path} =~ m{/(configmaps|widgets)/([^/?]+)(?:\?|$)} or next;
        $done{"$kind $name"}{created}++ if $request->{method} eq 'PATCH' && $request->{status} == 201;
        $done{"$kind $name"}{deleted}++ if $request->{method} eq 'DELETE' && $request->{status} == 200;
    }
    for my $kind (qw(configmaps widgets)) {
        $uids{"$kind $_->[1]"}{ $_->[2] } = 1 for $load->noted("seen_$kind");
    }
    my @wrong;
    for my $key (sort keys %{ { %done, %uids } }) {
        next if $key =~ / x/;
        my (undef, undef, $inserts, $deletes) = @{ $asked{$key} // [ 0, 0, 0, 0 ] };
        my $others = keys %{ $by_other{$key} // {} };
        my ($created, $deleted, $uids) = ($done{$key}{created} // 0, $done{$key}{deleted} // 0, scalar keys %{ $uids{$key} // {} });
        push @wrong, "$key: created $created times, $uids incarnations, for $inserts inserts; deleted $deleted times for $deletes deletes ($others by others)"
          if $created > $inserts + $others || $uids > $inserts + $others || $deleted > $deletes;
    }
    return @wrong;
}

# What others wrote last into an object that is still there.
sub marks_missing {
    my (%uid, %mark);
    for my $relation ($load->relations) {
        my $objects = $load->objects($relation);
        $uid{ $_->{metadata}{uid} } = DBNet::Load::mark_of($_) for values %$objects;
    }
    $mark{ $_->[2] } = $_ for $load->noted('marks');
    return map { "$mark{$_}[0] $mark{$_}[1]: mark $mark{$_}[3], is $uid{$_}" } grep { exists $uid{$_} && $uid{$_} ne $mark{$_}[3] } sort keys %mark;
}

sub is_nothing {
    my ($found, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(!@$found, $name) || diag(join "\n", @$found > 20 ? (@$found[ 0 .. 19 ], scalar @$found) : @$found);
}

sub check_all {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    # Rows whose object somebody else has deleted or changed wait for a user, and with them what follows in their transaction.
    my @unsettled = grep { !m{/(?:c\d-v|x-)\d\|(?:(?:absent|drifted|conflict)\||pending\|waits until what the same transaction needs first is accepted)} } split /\n/, $node->safe_psql('postgres', q{SELECT mirror, key, phase, message FROM dbnet.wait_synced('90 s') ORDER BY 1, 2});
    # At once: what is said to be settled is settled. What others did last may still be on its way.
    my @wrong = grep { !/victim| x-\d/ } differences();
    is_nothing([ map { "unsettled: $_" } @unsettled ], "$name: all is settled");
    is_nothing(\@wrong, "$name: objects are what was committed");
    my (@late, @missing);
    within(30, sub { @late = differences(); @missing = reports_missing(); sleep 0.1; return !@late && !@missing });
    is_nothing([ @late, @missing ], "$name: and rows are what was reported");
    is_nothing([ duplicates() ], "$name: nothing was created or deleted more often than asked for");
    is_nothing([ map { "$_->[0]: $_->[1]" } without_wish(map { my $kind = $_; map { [ $kind, @{$_}[1, 3] ] } grep { $_->[3] !~ /^other/ } $load->noted("seen_$kind") } qw(configmaps widgets)) ],
        "$name: nothing was ever seen that was not committed");
    is_nothing([ marks_missing() ], "$name: what is others' stays");
    my %done = map { $_->[0] . ' ' . $_->[1] => 1 } rows_of('SELECT session, number FROM done');
    is_nothing([ grep { !$done{$_} } map { my $number = $_; map { "$number $_->[0]" } $load->noted("committed_$number") } 1 .. 2 ], "$name: no acknowledged commit is lost");
    $node->query_is(q{SELECT t.relation, t.name FROM dbnet.tombstone AS t LEFT JOIN dbnet.object AS o USING (relation, name) WHERE phase IS DISTINCT FROM 'conflict' AND (t.name NOT LIKE 'c_-v_' OR message IS DISTINCT FROM 'waits until what the same transaction needs first is accepted')}, '', "$name: no tombstone is left over");
    $node->query_is(q{SELECT count(*) FROM dbnet.held}, '0', "$name: nothing is held");
    return;
}

my @schedule = schedule();
while (my @round = splice @schedule, 0, $kills_a_round) {
    $load->start;
    sleep 0.5;
    for my $strike (@round) {
        note(join ' ', 'kill', map { "$_ $strike->{$_}" } qw(number who when api delay));
        strike($strike);
        my @wrong = uncommitted_tokens();
        is_nothing(\@wrong, "after kill $strike->{number} ($strike->{who}): nothing is seen that was not committed");
    }
    $load->stop;
    check_all("after kill $round[-1]{number}");
}

# --- TRUNCATE and a kill at once: no object goes, the rows come back ---
my $before = $load->objects('shelf');
$node->psql_ok('TRUNCATE net.shelf', 'TRUNCATE');
kill 'KILL', processes($pattern{worker});
$node->wait_for('SELECT count(*) FROM net.shelf', 'the rows come back', expected => scalar keys %$before);
my $after = $load->objects('shelf');
is_deeply({ map { $_ => $after->{$_}{metadata}{uid} } keys %$after }, { map { $_ => $before->{$_}{metadata}{uid} } keys %$before }, 'no object was deleted or made anew');

$node->query_is('SELECT count(*) FROM pg_prepared_xacts', '0', 'nothing is left prepared');
is_nothing([ grep { /\b(?:PANIC|FATAL):/ && !/terminating (?:connection|background worker)|the database system is|server (?:process )?shut|lost connection|terminating walreceiver|crash of another server process/ } split /\n/, $node->log_since ],
    'the log has no other fatal error');
$node->no_crash_in_log(except => qr/was terminated by signal 9|WARNING:  terminating connection/);
note(join ' ', 'sessions committed', (map { scalar(() = $load->noted("committed_$_")) } 1 .. 2), 'transactions; the API showed', map { scalar(() = $load->noted("seen_$_")) . " $_" } qw(configmaps widgets));
done_testing();
