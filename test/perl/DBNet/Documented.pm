# Examples of the documentation: what it shows as a terminal's lines, "=> statement" and the answer below, is run, in its order, and
# compared, but for times, numbers of events and transactions, and widths of columns.
#
#   my $examples = DBNet::Documented->new($node, $markdown);    $examples->run_all
package DBNet::Documented;

use strict;
use warnings FATAL => 'all';
use IPC::Run ();
use Test::More;

sub new {
    my ($class, $node, $text) = @_;
    return bless { node => $node, text => $text }, $class;
}

# As somebody at a terminal sees it.
sub answer {
    my ($self, $statement, $user) = @_;
    local $ENV{PGAPPNAME} = $user // 'psql';
    my $output = '';
    IPC::Run::run([ 'psql', '-qX', '-P', 'footer=off', '-d', $self->{node}->connstr('postgres') . ($user ? " user=$user" : '') ], '<', \"\\set SHOW_CONTEXT never\nSET TimeZone = 'UTC';\n$statement;\n", '>', \$output, '2>&1');
    return $output =~ s/^psql:<stdin>:\d+: //mgr;
}

# Without what is another in every run.
sub comparable {
    my ($text, $is_table) = @_;
    $text =~ s/\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?(\+00(:00)?)?/TIME/g;
    $text =~ s/\b\d\d:\d\d:\d\d(\.\d{3})?\b/TIME/g;
    $text =~ s/(?<!\d)\d{18}(?!\d)/EVENT/g;
    $text =~ s/\btransaction \d+/transaction N/g;
    $text =~ s/(?<=code_)\d+/N/g;
    $text =~ s/\b[\d.]+ ms\b/N ms/g;
    $text =~ s/\bhmac-sha256:[0-9a-f]{64}\b/hmac-sha256:DIGEST/g;
    $text =~ s/^ *\d+ \| [0-9a-f]{64} \| +\d+ /N | ROOT | N /mg;    # of what is sealed by then
    if ($is_table) {
        $text =~ s/^[-+]+\n/----\n/mg;
        $text =~ s/ +/ /g;
    }
    return join "\n", grep { /\S/ } map { s/\s+$//r } split /\n/, $text;
}

# A reload makes the worker look at once: the first look takes note of a moment, a later one seals what came before it.
sub wait_sealed {
    my ($self) = @_;
    for (1 .. 60) {
        $self->{node}->safe_psql('postgres', 'SELECT pg_reload_conf()');
        return if $self->{node}->poll_query_until('postgres', 'SELECT count(*) > 0 FROM dbnet.provenance_block', 't', 2);
    }
    return;
}

# Returns how many there were. Options: replace (hash: text of a statement => what it is in this run), before (called with each
# statement).
sub run_all {
    my ($self, %options) = @_;
    my $examples = 0;
    for my $block ($self->{text} =~ /^```\n(=> .*?)^```/msg) {
        # A statement goes on in lines that are indented under it; its answer ends where the next one begins.
        while ($block =~ /^=> (.*(?:\n   \S.*)*)\n((?:(?!=> ).*\n)*)/mg) {
            my ($statement, $wanted) = ($1, $2);
            $options{before}->($statement) if $options{before};
            $self->wait_sealed if $statement =~ /dbnet\.digest/;
            my $is_table = $wanted =~ /^-[-+]*\n/m;
            my $run = $statement =~ s/;(\s+--.*)?$//r;
            $run =~ s/\Q$_\E/$options{replace}{$_}/g for keys %{ $options{replace} // {} };
            my $answer = $self->answer($run);
            $answer =~ s/\A.*\n-[-+]*\n// if !$is_table;
            is(comparable($answer, $is_table), comparable($wanted, $is_table), $statement =~ s/\s+/ /gr);
            ++$examples;
        }
    }
    return $examples;
}

1;
