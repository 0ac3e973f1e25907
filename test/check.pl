#!/usr/bin/perl
# Runs DBNet's tests and prints one closing line "N passed, N failed[, N skipped]".
#
# Suites, in this order: unit (GoogleTest) and fuzz (saved corpora), both with sanitizers, regress (pg_regress), demo (pg_regress files in test/demo),
# isolation, tap (pgTAP files in test/tap and test/demo), t (TAP programs in test/t). Options: --root=DIR private PostgreSQL tree with the extension in it;
# --only=REGEX runs what matches "suite/name"; --torture also runs test/t/*_torture.pl, and tells the others by
# DBNET_TORTURE=1 to take their time; --bench runs test/bench/run.pl,
# --demo test/demo/run.pl, --valgrind test/valgrind.pl. Everything is written below build/check, or build/demo. As root it goes on as an unprivileged
# user, since PostgreSQL refuses root.
#
# Up to three programs of test/t that failed beside others are run once more, alone. Those that pass then do not fail the run, but are named
# as unsteady with what failed the first time: each is a race, in the test or in DBNet, that somebody has to mend. DBNET_STEADY=1 lets them fail.
# What has not ended after DBNET_TEST_LIMIT seconds (default 600, with --torture six hours) is ended, and has failed.
use strict;
use warnings;
use Cwd qw(getcwd abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path remove_tree);
use Getopt::Long;
use TAP::Parser;
use POSIX ();

my ($root, $only, $torture, $bench, $demo, $valgrind) = ('', '', 0, 0, 0, 0);
GetOptions('root=s' => \$root, 'only=s' => \$only, 'torture' => \$torture, 'bench' => \$bench, 'demo' => \$demo, 'valgrind' => \$valgrind)
  or die "usage: check.pl --root=DIR [--only=REGEX] [--torture] [--bench] [--demo] [--valgrind]\n";
$| = 1;    # whoever sees the output only when a run was cut off sees how far it came
my $top = abs_path(dirname(__FILE__) . '/..');
chdir $top or die "$top: $!\n";
my $folder = $demo ? 'build/demo' : $valgrind ? 'build/valgrind' : 'build/check';
refuse_second_demo() if $demo;
choose_cluster();
go_to_background() if $demo && $ENV{KEEP} && !defined $ENV{DBNET_DEMO_COLOURS};
become_unprivileged() if $> == 0;

my $pg_config = $ENV{PG_CONFIG} // 'pg_config';
chomp(my $bindir = `$pg_config --bindir`);
chomp(my $pgxs = `$pg_config --pgxs`);
chomp(my $pkglibdir = `$pg_config --pkglibdir`);
my $pgxs_test = dirname($pgxs) . '/../test';    # …/pgxs/src/test
$bindir = "$root$bindir";
my $work = "$top/$folder";
remove_tree($work, { keep_root => 1 }) if -d $work;
make_path("$work/log");

# The tests get exactly this environment: nothing of the caller's PostgreSQL or Kubernetes set-up leaks in.
delete $ENV{$_} for grep { /^PG(?!_)/ || /^(KUBECONFIG|HTTPS?_PROXY|ALL_PROXY|https?_proxy|all_proxy|LANGUAGE|LC_ALL|LANG)$/ } keys %ENV;
$ENV{KUBECONFIG} = $ENV{DBNET_TEST_KUBECONFIG} if $ENV{DBNET_TEST_KUBECONFIG};
$ENV{PATH} = "$bindir:$ENV{PATH}";
$ENV{LC_ALL} = 'C.UTF-8';
$ENV{HOME} = $work;
$ENV{TMPDIR} = '/tmp';
$ENV{PERL5LIB} = join ':', "$top/test/perl", "$pgxs_test/perl", grep { defined } $ENV{PERL5LIB};
$ENV{PG_REGRESS} = "$pgxs_test/regress/pg_regress";
$ENV{DBNET_TOP} = $top;
$ENV{DBNET_TORTURE} = 1 if $torture;
$ENV{DBNET_KUBESIM} = "$top/build/kubesim";
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';
$ENV{DBNET_TEST_LIBRARY} = "$root$pkglibdir/dbnet_test.so";

if ($bench) {
    local $ENV{TESTDATADIR} = "$work/bench";
    local $ENV{TESTLOGDIR} = "$work/log/bench";
    exec 'perl', 'test/bench/run.pl', $only or die "test/bench/run.pl: $!\n";
}
if ($valgrind) {
    @ENV{qw(TESTDATADIR TESTLOGDIR)} = ("$work/run", "$work/log");
    exec $^X, 'test/valgrind.pl' or die "test/valgrind.pl: $!\n";
}
if ($demo) {
    @ENV{qw(TESTDATADIR TESTLOGDIR)} = ("$work/data", "$work/log");
    exec $^X, 'test/demo/run.pl' or die "test/demo/run.pl: $!\n";
}

# Before a command: TERM, so that a test tells what its servers do (DBNet::Cluster) and stops them, and KILL a minute later.
my $limited = 'timeout --foreground --kill-after=60 ' . ($ENV{DBNET_TEST_LIMIT} // ($torture ? 6 * 3600 : 600));
my ($passed, $failed, %skipped, @failures, @unsteady) = (0, 0);
run_unit();
run_fuzz();
run_regress('regress', "$pgxs_test/regress/pg_regress", 'test', 'sql', 'sql', '--temp-config=test/dbnet.conf');
run_regress('demo', "$pgxs_test/regress/pg_regress", 'test/demo/regress', 'sql', 'sql', '');    # DBNet is not preloaded
run_regress('isolation', "$pgxs_test/isolation/pg_isolation_regress", 'test', 'specs', 'spec', '--temp-config=test/dbnet.conf');
run_pgtap();
run_programs();

unlink $ENV{DBNET_TEST_KUBECONFIG} if $ENV{DBNET_TEST_KUBECONFIG};
my $skips = 0;
$skips += $skipped{$_} for keys %skipped;
print "\nSkipped:\n", map { "  $skipped{$_} x $_\n" } sort keys %skipped if $skips;
print "\nUnsteady, to be mended: failed beside others, passed alone:\n", @unsteady if @unsteady;
print "\nFailed:\n", @failures if @failures;    # once more, where whoever sees only the end of the output finds it
print "\n$passed passed, $failed failed", ($skips ? ", $skips skipped" : ''), "\n";
exit($failed || !$passed ? 1 : 0);

# Real servers only on explicit request: binaries that the tests start themselves, or the named context of the caller's
# kubeconfig, which is copied so that the unprivileged test user can read it.
sub choose_cluster {
    $ENV{KUBEBUILDER_ASSETS} = abs_path($ENV{KUBEBUILDER_ASSETS}) // die "KUBEBUILDER_ASSETS: no such folder\n" if $ENV{KUBEBUILDER_ASSETS};
    if (($ENV{USE_EXISTING_CLUSTER} // '') ne 'true') {
        print "KUBECONFIG is ignored: set USE_EXISTING_CLUSTER=true and DBNET_TEST_CONTEXT to run on an existing cluster.\n" if delete $ENV{KUBECONFIG};
        return;
    }
    return if $ENV{DBNET_TEST_KUBECONFIG};
    die "USE_EXISTING_CLUSTER=true needs DBNET_TEST_CONTEXT=<context>\n" if !$ENV{DBNET_TEST_CONTEXT};
    umask 077;
    my $copy = '/tmp/dbnet-kubeconfig.' . $$;
    open my $out, '>', $copy or die "$copy: $!\n";
    open my $in, '-|', 'kubectl', 'config', 'view', '--context', $ENV{DBNET_TEST_CONTEXT}, '--minify', '--flatten', '--raw' or die "kubectl: $!\n";
    print $out $_ while <$in>;
    close $in or die "kubectl config view failed for context $ENV{DBNET_TEST_CONTEXT}\n";
    close $out;
    umask 022;
    if ($> == 0) { my (undef, undef, $uid, $gid) = getpwnam((grep { defined getpwnam $_ } qw(postgres nobody))[0]); chown $uid, $gid, $copy }
    $ENV{DBNET_TEST_KUBECONFIG} = $copy;
    refuse_large_cluster() if $demo && !$ENV{FORCE};
}

# The demo makes Nodes: not where that could matter, unless asked twice.
sub refuse_large_cluster {
    my $nodes = () = `kubectl --kubeconfig $ENV{DBNET_TEST_KUBECONFIG} get nodes -o name`;
    return if $? == 0 && $nodes <= 10;
    unlink $ENV{DBNET_TEST_KUBECONFIG};
    die $? ? "kubectl get nodes failed for context $ENV{DBNET_TEST_CONTEXT}\n"
      : "Context $ENV{DBNET_TEST_CONTEXT} has $nodes nodes, too many for a cluster to play with. FORCE=1 runs the demo nevertheless.\n";
}

# One that runs, perhaps kept with KEEP=1, has its data in the folder that another would empty.
sub refuse_second_demo {
    my $pid = slurp("$folder/pid");
    die "A demo is running here already. To stop it: kill $pid\n" if $pid && slurp("/proc/$pid/cmdline") =~ /demo/;
}

# KEEP=1: the demo goes on in a session of its own; what it says comes through us until it says that it is kept, or ends.
sub go_to_background {
    $ENV{DBNET_DEMO_COLOURS} = -t STDOUT ? 1 : 0;
    pipe my $said, my $say or die "pipe: $!\n";
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        POSIX::setsid();
        open STDIN, '<', '/dev/null' or die "/dev/null: $!\n";
        open $_, '>&', $say or die "standard output: $!\n" for *STDOUT, *STDERR;
        return;
    }
    close $say;
    $SIG{$_} = sub { kill 'TERM', -$pid } for qw(INT TERM HUP);
    $| = 1;
    while (<$said>) {
        exit 0 if $_ eq "\0kept\n";
        print;
    }
    waitpid $pid, 0;
    exit($? >> 8 || 1);
}

# Re-executes this script as user postgres (or nobody) with its folder below build its own; a tree that user cannot read
# is copied.
sub become_unprivileged {
    my ($user) = grep { defined getpwnam $_ } qw(postgres nobody);
    my (undef, undef, $uid, $gid) = getpwnam $user;
    my $reachable = system('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups', 'test', '-r', "$top/test/check.pl") == 0;
    my $place = $top;
    if (!$reachable) {
        chomp($place = `mktemp -d /var/tmp/dbnet-check.XXXXXX`);
        system('cp', '-a', "$top/.", $place) == 0 or die "cannot copy $top to $place\n";
        system('chmod', '-R', 'a+rX', $place);
        $root =~ s/^\Q$top\E/$place/;
        print "$top cannot be read by $user: the tests run in $place\n";
    }
    for my $directory ("$place/$folder", $bench ? ("$place/test/bench") : ()) {
        remove_tree($directory) if $directory =~ m{/\Q$folder\E$};
        make_path($directory);
        system('chown', '-R', "$uid:$gid", $directory);
    }
    my @command = ('setpriv', "--reuid=$uid", "--regid=$gid", '--clear-groups', $^X, "$place/test/check.pl", "--root=$root",
        ($only ne '' ? "--only=$only" : ()), ($torture ? '--torture' : ()), ($bench ? '--bench' : ()), ($demo ? '--demo' : ()), ($valgrind ? '--valgrind' : ()));
    exec @command or die "setpriv: $!\n" if $reachable;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) { exec @command or die "setpriv: $!\n" }
    $SIG{$_} = sub { } for qw(INT TERM HUP);    # those we wait for have had it, too
    1 until waitpid($pid, 0) == $pid;
    my $status = $?;
    system('rm', '-rf', $place);
    exit($status >> 8 || ($status ? 1 : 0));
}

sub wanted { my ($name) = @_; return $only eq '' || $name =~ /$only/ }

sub report {
    my ($name, $good, $bad, $log, @skips) = @_;
    $passed += $good;
    $failed += $bad;
    my $test = $name =~ s/ \(\d+ s\)$//r;
    $skipped{"$test: $_"}++ for @skips;
    printf "%-58s %5d passed%s%s\n", $name, $good, ($bad ? ", $bad FAILED ($log)" : ''), (@skips ? ', ' . @skips . ' skipped' : '');
    return if !$bad || !open my $in, '<', $log;
    my @lines = <$in>;
    my @telling = grep { $lines[$_] =~ /^\s*not ok|^\s*#  |FAILED|Failure|ERROR|^[-+]/ } 0 .. $#lines;
    my @told = map { "    $lines[$_]" } @telling > 40 ? @telling[0 .. 39] : @telling;
    push @failures, "  $name\n", @told;
    print @told;
}

sub slurp { my ($file) = @_; open my $in, '<', $file or return ''; local $/; return scalar(<$in>) // '' }

sub run_unit {
    my $log = "$work/log/unit.log";
    return if !wanted('unit/') || !-x "build/unit";
    my $status = system("$limited ./build/unit --gtest_color=no > $log 2>&1 < /dev/null");
    my $text = slurp($log);
    my ($good) = $text =~ /\[  PASSED  \] (\d+) test/;
    my ($bad) = $text =~ /(\d+) FAILED TEST/;
    my @skips = $text =~ /^\[  SKIPPED \] (\S+)$/mg;
    $bad ||= 1 if $status != 0;
    report('unit/', $good // 0, $bad // 0, $log, @skips);
}

sub run_fuzz {
    return if !-x 'build/fuzz_replay';
    for my $name (map { /(\w+)_fuzz/ } sort glob 'test/fuzz/*_fuzz.cpp') {
        next if !wanted("fuzz/$name");
        my $log = "$work/log/fuzz_$name.log";
        my $status = system("$limited ./build/fuzz_replay $name test/fuzz/corpus/$name > $log 2>&1 < /dev/null");
        report("fuzz/$name", $status == 0 ? 1 : 0, $status == 0 ? 0 : 1, $log);
    }
}

# pg_regress and pg_isolation_regress on a temporary cluster of their own.
sub run_regress {
    my ($suite, $program, $input, $folder, $ending, $config) = @_;
    my @tests = grep { wanted("$suite/$_") } map { basename($_, ".$ending") } sort glob "$input/$folder/*.$ending";
    return if !@tests;
    my $output = "$work/$suite";
    make_path($output);
    my $expected = -d "$input/expected" ? $input : '.';
    symlink "$top/$expected/expected", "$output/expected" or die "$output/expected: $!\n";    # PostgreSQL 15 knows no --expecteddir
    my $log = "$work/log/$suite.log";
    my $command = "$program --bindir=$bindir --inputdir=$input --outputdir=$output --temp-instance=$output/instance"
      . " $config --encoding=UTF8 --no-locale --load-extension=dbnet @tests";
    $command .= " --expecteddir=$expected" if `$program --help` =~ /--expecteddir/;
    system("$limited $command > $log 2>&1 < /dev/null");
    my $text = slurp($log);
    my ($good, $bad) = (0, 0);
    my %seen;
    for my $test (@tests) {
        if ($text =~ /^(?:test |ok \d+\s+[-+] )?\Q$test\E\s+(?:\.\.\. )?(?:ok\s+)?\d+ ms/m && $text !~ /^not ok \d+\s+[-+] \Q$test\E\s/m && $text !~ /^test \Q$test\E\s+\.\.\. FAILED/m) {
            $good++;
        } else {
            $bad++;
        }
    }
    report("$suite/", $good, $bad, -s "$output/regression.diffs" ? "$output/regression.diffs" : $log);
}

# pgTAP files, each in a database of its own on one temporary cluster.
sub run_pgtap {
    my @files = grep { wanted('tap/' . basename($_, '.sql')) } sort glob 'test/tap/*.sql test/demo/tap/*.sql';
    return if !@files;
    my $data = "$work/pgtap";
    chomp(my $socket = `mktemp -d /tmp/dbnet-pgtap.XXXXXX`);
    system("initdb -D $data -U postgres -A trust --no-sync -E UTF8 --no-locale > $work/log/pgtap.log 2>&1") == 0
      && system("cat test/dbnet.conf >> $data/postgresql.conf") == 0
      && system("pg_ctl -D $data -w -l $work/log/pgtap_server.log -o \"-c listen_addresses='' -k $socket\" start >> $work/log/pgtap.log 2>&1") == 0
      or do { report('tap/', 0, 1, "$work/log/pgtap.log"); return };
    local @ENV{qw(PGHOST PGUSER)} = ($socket, 'postgres');
    for my $file (@files) {
        my $name = basename($file, '.sql');
        my $log = "$work/log/tap_$name.tap";
        system("psql -XAtq -d postgres -c 'CREATE DATABASE \"$name\"' > $log 2>&1"
              . " && psql -XAtq -v ON_ERROR_STOP=1 -d $name -c 'CREATE EXTENSION pgtap' -c 'CREATE EXTENSION dbnet' >> $log 2>&1"
              . " && $limited psql -XAtq -v ON_ERROR_STOP=1 -P pager=off -d $name -f $file > $log 2>&1 < /dev/null"
              . " && $limited psql -XAtq -d postgres -c 'DROP DATABASE \"$name\"' >> $log 2>&1");
        report_tap("tap/$name", $log, $?);
    }
    system("pg_ctl -D $data -m fast -w stop >> $work/log/pgtap.log 2>&1");
    remove_tree($socket);
}

# The programs in test/t, several at a time: each has its own cluster and mostly waits. Those that take longest go first,
# so that none is left running alone in the end.
sub run_programs {
    my @longest = qw(65_hostile_server 63_hanging_requests 91_kill_under_load 52_report_watch 57_import 70_demo 62_locks 61_connections 64_hostile_owner);
    my %place;
    @place{ map { "test/t/$_.pl" } @longest } = 0 .. $#longest;
    my @files = grep { wanted('t/' . basename($_, '.pl')) && ($torture || !/_torture\.pl$/) }
      sort { ($place{$a} // @longest) <=> ($place{$b} // @longest) || $a cmp $b } glob 'test/t/*.pl';
    my (%running, @failed);
    my $jobs = $ENV{DBNET_TEST_JOBS} // 4;    # on two cores: they wait more than they compute
    while (@files || %running) {
        while (@files && keys %running < $jobs) {
            my $file = shift @files;
            $running{ start_program($file, "t_" . basename($file, '.pl')) } = { file => $file, since => time };
        }
        my $pid = waitpid -1, 0;
        my $ended = delete $running{$pid} // next;
        my $name = basename($ended->{file}, '.pl');
        my $told = @failures;
        my ($good, $bad) = report_tap("t/$name", "$work/log/t_$name.tap", $?, time - $ended->{since});
        push @failed, { file => $ended->{file}, good => $good, bad => $bad, told => [ splice @failures, $told ] } if $bad;
    }
    my $again = @failed <= 3 && !$ENV{DBNET_STEADY};
    for my $first (@failed) {
        my $unsteady = 0;
        if ($again) {
            my $name = basename($first->{file}, '.pl');
            my $since = time;
            $passed -= $first->{good};
            $failed -= $first->{bad};
            waitpid start_program($first->{file}, "t_$name.again"), 0;
            (undef, my $bad) = report_tap("t/$name, once more", "$work/log/t_$name.again.tap", $?, time - $since);
            $unsteady = !$bad;
        }
        push @{ $unsteady ? \@unsteady : \@failures }, @{ $first->{told} };
    }
}

# The pid of a program of test/t that writes to the given name below log/ and has its data in a folder of that name.
sub start_program {
    my ($file, $place) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    @ENV{qw(TESTDATADIR TESTLOGDIR)} = ("$work/$place", "$work/log/$place");
    make_path($ENV{TESTDATADIR}, $ENV{TESTLOGDIR});
    open STDIN, '<', '/dev/null';
    open STDOUT, '>', "$work/log/$place.tap";
    open STDERR, '>', "$work/log/$place.err";
    exec split(' ', $limited), $^X, $file or POSIX::_exit(127);
}

# Tells of a TAP file; returns how many passed and failed.
sub report_tap {
    my ($name, $log, $status, $seconds) = @_;
    my $parser = TAP::Parser->new({ tap => slurp($log) . "\n" }); # of a program that died at once it is empty
    my ($good, $bad, @skips) = (0, 0);
    while (my $result = $parser->next) {
        if ($result->is_plan && $result->has_skip) { push @skips, $result->explanation || 'whole file' }
        next if !$result->is_test;
        if ($result->has_skip) { push @skips, $result->explanation }
        elsif ($result->is_ok) { $good++ }
        else { $bad++ }
    }
    $bad ||= 1 if $status != 0 || $parser->parse_errors;
    $name .= " ($seconds s)" if defined $seconds;
    report($name, $good, $bad, $log, @skips);
    if ($bad) {
        print "    It did not end within its time limit.\n" if $status >> 8 == 124 || $status >> 8 == 137;    # timeout's own
        my $errors = slurp("$log" =~ s/\.tap$/.err/r);
        my @lines = split /\n/, $errors;
        splice @lines, 40, @lines - 100 if @lines > 100;
        print map { "    $_\n" } @lines if $log =~ /\.tap$/;
        print "    $_\n" for $parser->parse_errors;
    }
    return ($good, $bad);
}
