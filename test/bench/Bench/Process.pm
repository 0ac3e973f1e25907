# What a process has used.
package Bench::Process;

use strict;
use warnings FATAL => 'all';
use Exporter 'import';
use PostgreSQL::Test::Utils ();

our @EXPORT_OK = qw(cpu_seconds private_memory_mb);

# That it was on a CPU, to the nanosecond.
sub cpu_seconds { my ($pid) = @_; return (split ' ', PostgreSQL::Test::Utils::slurp_file("/proc/$pid/schedstat"))[0] / 1e9 }

# Memory that it shares with no other: shared buffers do not count.
sub private_memory_mb {
    my ($pid) = @_;
    my ($kb) = PostgreSQL::Test::Utils::slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;
    return $kb / 1024;
}

1;
