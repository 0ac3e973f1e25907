# `make demo`: the paper's Example 1, traffic load balancing, and Example 2, a node that is ill, on a PostgreSQL cluster and a Kubernetes API of its own,
# told as it happens. Called by test/check.pl --demo with the environment of the tests.
#
#   make demo                                                           with the simulator of test/kubesim
#   KUBEBUILDER_ASSETS=<folder> make demo                               with etcd, kube-apiserver, … from there
#   USE_EXISTING_CLUSTER=true DBNET_TEST_CONTEXT=<context> make demo    on that cluster; FORCE=1 if it has more than 10 nodes
#   KEEP=1 make demo                                                    leaves everything running, says how to stop it
#
# Ends by itself and leaves nothing behind, also when it is interrupted; the exit code is 0 only if all came as told.
# The examples are example1/*.sql and example2/*.sql; Demo/Example1.pm and Example2.pm run them, Demo/Timeline.pm reads what
# happened, Demo/Story.pm and Demo/Replacement.pm tell it.
use strict;
use warnings FATAL => 'all';

my $status;
END { $? = $status if defined $status }    # the last of all: the harness keeps data and sockets of what fails, the demo does not

use File::Basename qw(dirname);
use lib dirname(__FILE__);
use Demo::Screen;
use DBNet::Api;
use DBNet::Cluster;
use Demo::Example1;
use Demo::Replacement;
use Demo::Story;
use Demo::Watch;
use Test::More ();

my $node_start_ms = 1500;    # what a machine takes to start: the demo's choice
my $pid_file = dirname($ENV{TESTLOGDIR}) . '/pid';
my ($api, $node, $example, $watch, $ending);

# The harness' own words go to its log.
my $log = "$ENV{TESTLOGDIR}/demo.log";
open my $harness, '>', $log or die "$log: $!\n";
Test::More->builder->$_($harness) for qw(output failure_output todo_output);
$SIG{__DIE__} = 'DEFAULT';
$SIG{$_} = \&interrupted for qw(INT TERM HUP);

if (eval { run(); 1 }) {
    keep() if $ENV{KEEP};
    $ending = '';
    exit 0;
}
print {$harness} $@;
# The first paragraph tells, without where in the code and which SQL; all of it is in the log.
my ($why) = split /\n\n/, $@ =~ s/^while running .*//msr =~ s/ at \S+ line \d+\.$//mgr;
$ending = 'The demo failed: ' . join "\n", grep { defined } (split /\n/, $why)[0 .. 3];
exit 1;

sub run {
    open my $out, '>', $pid_file or die "$pid_file: $!\n";
    print $out $$;
    close $out;
    $api = DBNet::Api->start(node_ready_delay_ms => $node_start_ms, pods_running => 1);
    $node = DBNet::Cluster->started('demo', fsync => 1, conf => "track_commit_timestamp = on\n");
    $watch = Demo::Watch->start($api);
    $example = Demo::Example1->new($node, $api);
    Demo::Story::tell($example, $watch, $node_start_ms);
    Demo::Replacement::tell($example, $watch);
    return;
}

# The session stays until somebody ends this process.
sub keep {
    my $psql = 'psql -h ' . $node->host . ' -p ' . $node->port . ' -U sre postgres';
    Demo::Story::tell_how_to_stop($example, $psql, $$);
    $ending = '';
    Demo::Screen::leave();
    sleep while 1;
}

sub interrupted {
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
    $ending //= 'Interrupted; cleaning up.';
    exit 130;
}

END {
    $status = $?;
    $? = 0;
    $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
    $ending //= 'The demo failed before it could say why.';
    Demo::Screen::line("\n$ending" . ($status == 1 || $status == 255 ? "\nLogs: " . dirname($log) : '')) if $ending ne '';
    eval { $example->close } if $example;
    $watch->stop if $watch;
    $node->stop('fast', fail_ok => 1) if $node;
    $api->stop if $api;
    if ($api && $api->{not_deleted}) {
        Demo::Screen::line("\nLeft behind: $api->{not_deleted}");
        $status ||= 1;
    }
    unlink $pid_file, $ENV{DBNET_TEST_KUBECONFIG} // ();
}
