# What the tests of the change feed share: a mirror-like table with the capture trigger (no mirror worker acts on it: it
# is not configured), and a session that holds a WAL tail of its own, see test/src/feed_probe.cpp.
#
#   my $feed = DBNet::Feed->new($node);           # makes the SQL functions and table net.nodes
#   $feed->start;                                  # as the mirror worker starts; ->start($lsn, running => [xid, …])
#   $feed->is("I |n1\nU |n2", 'what came');        # polls: operation namespace|name per change, commits in order
#   $feed->is_compare_due(0, '…');
package DBNet::Feed;

use strict;
use warnings FATAL => 'all';
use Test::More ();

# Options: database (default postgres), create (default 1: make functions and table).
sub new {
    my ($class, $node, %options) = @_;
    my $self = bless { node => $node, database => $options{database} // 'postgres' }, $class;
    $node->safe_psql($self->{database}, definitions()) if $options{create} // 1;
    $self->{session} = $node->background_psql($self->{database}, on_error_stop => 1);
    return $self;
}

sub definitions {
    return <<'SQL';
CREATE FUNCTION feed_start(from_lsn pg_lsn DEFAULT NULL, running xid[] DEFAULT NULL, memory_limit integer DEFAULT NULL)
    RETURNS void LANGUAGE c AS 'dbnet_test', 'dbnet_feed_start';
CREATE FUNCTION feed_poll() RETURNS TABLE (xid xid8, lsn pg_lsn, role oid, relation regclass, operation text, namespace text, name text)
    LANGUAGE c AS 'dbnet_test', 'dbnet_feed_poll';
CREATE FUNCTION feed_state(OUT compare_due boolean, OUT lost bigint, OUT at pg_lsn) LANGUAGE c AS 'dbnet_test', 'dbnet_feed_state';
CREATE FUNCTION feed_at_pre_commit(sql text) RETURNS void LANGUAGE c STRICT AS 'dbnet_test', 'dbnet_feed_at_pre_commit';
CREATE SCHEMA net;
CREATE TABLE net.nodes (name text PRIMARY KEY, labels jsonb, note text, ready text);
CREATE TRIGGER dbnet_capture AFTER INSERT OR UPDATE OR DELETE ON net.nodes FOR EACH ROW
    EXECUTE FUNCTION dbnet.capture('', 'name', 'labels', 'ready');
ALTER TABLE net.nodes ENABLE ALWAYS TRIGGER dbnet_capture;
SQL
}

sub node { return $_[0]{node} }

# Runs SQL in a session of its own.
sub sql {
    my ($self, $sql) = @_;
    return $self->{node}->safe_psql($self->{database}, $sql);
}

# Changes a setting of the server and waits until new sessions have it.
sub set {
    my ($self, $setting) = @_;
    my ($name, $value) = $setting =~ /^(\S+) = '(.*)'$/ or die "not a setting: $setting";
    my $node = $self->{node};
    $node->safe_psql('postgres', "ALTER SYSTEM SET $setting");
    $node->reload;
    $node->poll_query_until('postgres', "SELECT current_setting('$name') = '$value'") or die "$setting has not come into force";
    return;
}

# A session that stays open, for transactions that the test interleaves.
sub open_session {
    my ($self) = @_;
    return $self->{node}->background_psql($self->{database}, on_error_stop => 1);
}

sub start {
    my ($self, $from, %options) = @_;
    my $running = $options{running} ? "'{" . join(',', @{ $options{running} }) . "}'" : 'NULL';
    my $limit = $options{memory_limit} // 'NULL';
    $self->{session}->query_safe('SELECT feed_start(' . (defined $from ? "'$from'" : 'NULL') . ", $running, $limit)");
    return $self;
}

sub poll {
    my ($self, $columns) = @_;
    $columns //= q{string_agg(operation || ' ' || namespace || '|' || name, E'\n')};
    return $self->{session}->query_safe("SELECT $columns FROM feed_poll()");
}

sub state {
    my ($self, $column) = @_;
    return $self->{session}->query_safe("SELECT $column FROM feed_state()");
}

sub is {
    my ($self, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($self->poll, $expected, $name);
}

sub is_compare_due {
    my ($self, $expected, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($self->state('compare_due'), $expected ? 't' : 'f', $name);
}

# The tail's position is this one or later. Take it with flushed() before the poll: others write WAL all the time.
sub has_reached {
    my ($self, $lsn, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($self->state("at >= '$lsn'"), 't', $name);
}

sub flushed { my ($self) = @_; return $self->sql('SELECT pg_current_wal_flush_lsn()') }

sub quit { my ($self) = @_; return $self->{session}->quit }

1;
