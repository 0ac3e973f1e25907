# Waiting for what is not told by SQL; for that see DBNet::Cluster::wait_for.
package DBNet::Wait;

use strict;
use warnings FATAL => 'all';
use Exporter 'import';
use Time::HiRes qw(sleep time);

our @EXPORT_OK = qw(wait_until);

# Calls `condition` until it returns something true, which is returned; undef when a minute (or so many seconds) has passed.
sub wait_until {
    my ($condition, $seconds) = @_;
    my $deadline = time + ($seconds // 60);
    my $pause = 0.01;
    while (1) {
        my $value = $condition->();
        return $value if $value;
        return undef if time > $deadline;
        sleep $pause;
        $pause *= 1.5 if $pause < 0.2;
    }
}

1;
