# A child process of a test: started with its output in a log file, stopped by its pid and by nothing else.
# setpriv makes the kernel end it when the test dies without running its END blocks.
package DBNet::Process;

use strict;
use warnings FATAL => 'all';
use DBNet::Environment;
use IO::Socket::INET;
use POSIX qw(WNOHANG);
use Time::HiRes qw(sleep time);

my @started;

# Options: name, log (file), command (array) or code (a sub, run in the child), environment (hash, added to ours).
sub start {
    my ($class, %options) = @_;
    my $self = bless { name => $options{name}, log => $options{log}, parent => $$ }, $class;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        POSIX::setpgid(0, 0);                      # an interrupt from the terminal reaches us first, then them
        open STDIN,  '<',  '/dev/null'   or POSIX::_exit(126);
        open STDOUT, '>>', $options{log} or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT      or POSIX::_exit(126);
        $SIG{$_} = 'DEFAULT' for qw(INT TERM PIPE);
        my %environment = %{ $options{environment} // {} };
        @ENV{ keys %environment } = values %environment;
        if ($options{code}) {
            my $good = eval { $options{code}->(); 1 };
            print STDERR $@ if !$good;
            POSIX::_exit($good ? 0 : 1);           # none of the test's END blocks
        }
        exec command_tied_to_us(@{ $options{command} }) or POSIX::_exit(127);
    }
    $self->{pid} = $pid;
    push @started, $self;
    return $self;
}

# A command whose process the kernel kills when this one ends.
sub command_tied_to_us { return ('setpriv', '--pdeathsig', 'KILL', '--', @_) }

sub pid { return $_[0]{pid} }

sub is_running {
    my ($self) = @_;
    return 0 if !$self->{pid};
    return 1 if waitpid($self->{pid}, WNOHANG) == 0;
    $self->{status} = $?;
    $self->{pid} = undef;
    return 0;
}

sub signal {
    my ($self, $signal) = @_;
    return $self->{pid} && kill($signal, $self->{pid});
}

# Ends the process without a warning to it.
sub kill9 {
    my ($self) = @_;
    return if !$self->{pid} || $self->{parent} != $$;
    local $?;
    $self->signal('KILL');
    waitpid $self->{pid}, 0;
    $self->{pid} = undef;
    return;
}

# Ends the process: TERM, and KILL when that has not helped after `timeout` seconds.
sub stop {
    my ($self, $timeout) = @_;
    return if !$self->{pid} || $self->{parent} != $$;
    local $?;
    $self->signal('CONT');
    $self->signal('TERM');
    my $deadline = time + ($timeout // 10);
    sleep 0.02 while $self->is_running && time < $deadline;
    return $self->kill9;
}

sub log_tail {
    my ($self, $lines) = @_;
    open my $in, '<', $self->{log} or return "$self->{log}: $!\n";
    my @lines = <$in>;
    my $first = @lines > ($lines // 30) ? @lines - ($lines // 30) : 0;
    return "$self->{name} (" . ($self->is_running ? "running as $self->{pid}" : "ended, status $self->{status}") . "), end of $self->{log}:\n"
      . join '', map { "    $_" } @lines[ $first .. $#lines ];
}

# A TCP port of 127.0.0.1 that was free a moment ago.
sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Proto => 'tcp', Listen => 1) or die "no free port: $!";
    return $socket->sockport;
}

END {
    my $status = $?;
    $_->stop for reverse @started;
    $? = $status;
}

1;
