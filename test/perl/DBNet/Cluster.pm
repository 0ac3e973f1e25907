# A PostgreSQL node with DBNet preloaded, with the checks and waits that DBNet's tests share.
# A PostgreSQL::Test::Cluster in every other respect (kill9, restart, promote, backup, background_psql, wait_for_log, …).
#
#   my $node = DBNet::Cluster->started('main');                # initdb, start, CREATE EXTENSION dbnet
#   $node->psql_ok('INSERT …', 'insert a row');  $node->query_is('SELECT …', '3', 'three rows');
#   $node->fails_like('SELECT …', '55000', qr/…/, 'says why');
#   $node->wait_for(q{SELECT phase = 'synced' FROM dbnet.object_status}, 'the row is synced');
#   $node->no_crash_in_log; done_testing();
package DBNet::Cluster;

use strict;
use warnings FATAL => 'all';
use DBNet::Environment;
use DBNet::Need;
use parent 'PostgreSQL::Test::Cluster';
use Carp;
use POSIX ();
use PostgreSQL::Test::Utils ();
use Test::More;
use Time::HiRes qw(sleep time);

# check.pl sends TERM to a test that does not end: what its servers do then tells why.
INIT {
    my $test = $$;
    $SIG{TERM} = sub {
        POSIX::_exit(143) if $$ != $test;    # a process that the test has forked: the servers are not its own
        diag("ended from outside, by its time limit perhaps");
        diag($_->name . " then:\n" . $_->activity) for grep { defined $_->{_pid} } @PostgreSQL::Test::Cluster::all_nodes;
        exit 143;
    };
}

# Further options of init: preload (default 1), fsync (default 0), restart_after_crash (default 1), conf (text);
# allows_streaming is on unless given, so that wal_level is 'replica' as on a user's server.
sub init {
    my ($self, %options) = @_;
    my %ours = (preload => 1, fsync => 0, restart_after_crash => 1, conf => '');
    for my $name (keys %ours) {
        $ours{$name} = delete $options{$name} if exists $options{$name};
    }
    # As users have it, whatever the environment of the tests says: initdb would make C and SQL_ASCII of an empty one.
    $self->SUPER::init(allows_streaming => 1, extra => [ '--locale=C.UTF-8', '--encoding=UTF8' ], %options);
    $self->append_conf('postgresql.conf', join "\n",
        ($ours{preload} ? "shared_preload_libraries = 'dbnet'" : ()),
        'fsync = ' . ($ours{fsync} ? 'on' : 'off'),
        'restart_after_crash = ' . ($ours{restart_after_crash} ? 'on' : 'off'),
        "shared_buffers = '16MB'",
        'max_connections = 40',
        "timezone = 'UTC'",
        $ours{conf}, '');
    return;
}

# A node that runs and has the extension. Options of init and: extension (default 1).
sub started {
    my ($class, $name, %options) = @_;
    my $extension = delete $options{extension} // 1;
    my $node = $class->new($name // 'main');
    $node->init(%options);
    $node->start;
    $node->safe_psql('postgres', 'CREATE EXTENSION dbnet') if $extension;
    return $node;
}

# --- SQL; the database is postgres unless {database} is set on the node or given as `database => name` ---
sub run_sql {
    my ($self, $sql, %options) = @_;
    my ($output, $errors) = ('', '');
    my $status = eval {
        $self->psql($options{database} // $self->{database} // 'postgres', $sql, stdout => \$output, stderr => \$errors,
            extra_params => [ '-v', 'VERBOSITY=verbose', ($options{role} ? ('-U', $options{role}) : ()) ]);
    };
    # A psql that ends before it has read its input, as it does while a server restarts: its own status for that is 2.
    return (2, $output, $@) if !defined $status && $@ =~ /Broken pipe/;
    die $@ if !defined $status;
    return ($status, $output, $errors);
}

# Runs SQL that must succeed; returns its output.
sub psql_ok {
    my ($self, $sql, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output, $errors) = $self->run_sql($sql, %options);
    ok($status == 0, $name // $sql) or diag("psql exit status $status\n$errors");
    return $output;
}

# The output must be exactly that: columns are joined by '|', rows by newlines.
sub query_is {
    my ($self, $sql, $expected, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output, $errors) = $self->run_sql($sql, %options);
    return is($status == 0 ? $output : "psql exit status $status\n$errors", $expected, $name // $sql);
}

# The SQL must fail with this SQLSTATE (undef: any) and a message, detail or hint that matches.
sub fails_like {
    my ($self, $sql, $sqlstate, $pattern, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($status, $output, $errors) = $self->run_sql($sql, %options);
    my $good = $status == 3 && $errors =~ $pattern && (!defined $sqlstate || $errors =~ /^.*(?:ERROR|FATAL):  $sqlstate: /m);
    ok($good, $name // $sql) or diag("expected SQLSTATE " . ($sqlstate // 'any') . " and $pattern; psql exit status $status\n$output\n$errors");
    return $errors;
}

# Polls SQL until its output is `expected` (default 't'); one test. On time-out (default 60 s) tells what is known.
sub wait_for {
    my ($self, $sql, $name, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $expected = $options{expected} // 't';
    my $deadline = time + ($options{timeout} // 60);
    my $pause = 0.02;
    my ($status, $output, $errors);
    while (1) {
        ($status, $output, $errors) = $self->run_sql($sql, %options);
        return pass($name // $sql) if $status == 0 && $output eq $expected;
        last if time > $deadline;
        sleep $pause;
        $pause = $pause * 1.5 < 0.25 ? $pause * 1.5 : 0.25;
    }
    fail($name // $sql);
    diag("waited in vain for: $sql\nexpected: $expected\nlast output: $output\n$errors" . $self->diagnostics(%options));
    return 0;
}

# The workers, the objects that are not settled and the end of the log, as far as they can be had.
sub diagnostics {
    my ($self, %options) = @_;
    my $text = '';
    for my $query ('SELECT * FROM dbnet.worker', 'SELECT * FROM dbnet.mirror_status',
        q{SELECT * FROM dbnet.object_status WHERE phase <> 'synced' LIMIT 10}, 'SELECT * FROM dbnet.actuation ORDER BY at DESC LIMIT 10') {
        my ($status, $output) = $self->run_sql("\\x on\n\\t off\n$query", %options);
        $text .= "$query:\n$output\n" if $status == 0;
    }
    my @lines = split /\n/, PostgreSQL::Test::Utils::slurp_file($self->logfile);
    @lines = grep { !/LOG:  statement:/ } @lines;
    splice @lines, 0, @lines - 40 if @lines > 40;
    return $text . "end of " . $self->logfile . ":\n" . join '', map { "    $_\n" } @lines;
}

# What each process of the server does and waits for, one per line; the words of whoever could not ask.
sub activity {
    my ($self) = @_;
    my $sql = q{SELECT pid, backend_type, datname, state, wait_event, pg_blocking_pids(pid), left(query, 300) FROM pg_stat_activity ORDER BY backend_start};
    my $psql = join ' ', map { quotemeta } 'timeout', 10, 'psql', '-XAtq', '-d', $self->connstr('postgres'), '-c', $sql;
    return `$psql 2>&1`;
}

# --- processes ---
# The pid of a DBNet process ('launcher', 'mirror worker', …) of a database, waited for; dies when there is none.
sub worker_pid {
    my ($self, $process, %options) = @_;
    my $sql = "SELECT pid FROM dbnet.worker WHERE process = " . quote($process) . " AND pid IS NOT NULL";
    my $deadline = time + ($options{timeout} // 60);
    while (1) {
        my ($status, $output, $errors) = $self->run_sql($sql, %options);
        return $output if $status == 0 && $output =~ /^\d+$/ && $output != ($options{other_than} // 0);
        confess "no process '$process': $output $errors" . $self->diagnostics(%options) if time > $deadline;
        sleep 0.05;
    }
}

# Kills a worker and waits until another one has taken its place; returns the new pid.
sub replace_worker {
    my ($self, $process, $signal, %options) = @_;
    my $old = $self->worker_pid($process, %options);
    kill($signal, $old) or confess "kill $signal $old: $!";
    return $self->worker_pid($process, %options, other_than => $old);
}

# As the parent's, whose time limit is for the whole session; this one's is for each statement.
sub background_psql {
    my ($self, @arguments) = @_;
    my $session = $self->SUPER::background_psql(@arguments);
    $session->set_query_timer_restart;
    return $session;
}

# As the parent's, and waits until the postmaster is reaped: start() refuses while its pid exists.
sub kill9 {
    my ($self) = @_;
    my $pid = $self->{_pid};
    $self->SUPER::kill9;
    my $deadline = time + 60;
    sleep 0.02 while defined $pid && kill(0, $pid) && time < $deadline;
    return;
}

sub quote { my ($text) = @_; $text =~ s/'/''/g; return "'$text'" }

# --- the log ---
# Where the log ends now; for log_since and wait_for_log.
sub log_position { my ($self) = @_; return -s $self->logfile // 0 }

sub log_since {
    my ($self, $position) = @_;
    return PostgreSQL::Test::Utils::slurp_file($self->logfile, $position // 0);
}

sub log_like {
    my ($self, $pattern, $position, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return like($self->log_since($position), $pattern, $name);
}

# The lines that tell of a crash, a failed assertion or a leaked resource. Option except: a pattern of lines that the
# test caused itself, such as a worker that it killed; since: a log_position.
sub crashes_in_log {
    my ($self, %options) = @_;
    my @bad = grep { /terminated by signal|PANIC|TRAP|\bleak|was not closed|AddressSanitizer|runtime error:/ && !/LOG:  statement:|\bSTATEMENT:/ }
      split /\n/, $self->log_since($options{since});
    @bad = grep { $_ !~ $options{except} } @bad if defined $options{except};
    return @bad;
}

sub no_crash_in_log {
    my ($self, %options) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bad = $self->crashes_in_log(%options);
    return ok(!@bad, 'no crash and no leak in the log of ' . $self->name) || diag(join "\n", @bad);
}

1;
