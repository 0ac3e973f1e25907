# What the test programs need from their surroundings. test/check.pl sets it; a program run by hand
# (prove -I test/perl test/t/NAME.pl, with build/root's bin first in PATH) gets the same defaults from here.
# Must be loaded before PostgreSQL::Test::Utils, which reads the environment as it is compiled and initialised.
package DBNet::Environment;

use strict;
use warnings FATAL => 'all';
use Cwd qw(abs_path);
use File::Basename qw(basename dirname);
use File::Path qw(make_path);
use Test::More ();

our $top;

BEGIN {
    die "PostgreSQL does not run as root: use `make check ONLY=t/NAME`, or run the test as another user\n" if $> == 0;
    $top = $ENV{DBNET_TOP} // abs_path(dirname(__FILE__) . '/../../..');
    my $test = basename($0, '.pl', '.t');
    $ENV{TESTDATADIR} //= "$top/build/check/t_$test";
    $ENV{TESTLOGDIR}  //= "$top/build/check/log/t_$test";
    $ENV{TESTDIR}     //= $ENV{TESTDATADIR};                # the only one of the three that PostgreSQL 15 knows
    make_path($ENV{TESTDIR}, $ENV{TESTDATADIR}, $ENV{TESTLOGDIR});
    if (!defined $ENV{PG_REGRESS}) {
        chomp(my $pgxs = `@{[ $ENV{PG_CONFIG} // 'pg_config' ]} --pgxs`);
        $ENV{PG_REGRESS} = dirname($pgxs) . '/../test/regress/pg_regress';
    }
}

# What ends a test goes where failed checks go; PostgreSQL::Test::Utils sends plain standard error to a log file.
$SIG{__DIE__} = sub {
    Test::More::diag(@_) if defined $^S && !$^S;
};

# The program built as build/NAME, or the one that the variable DBNET_NAME points to.
sub program {
    my ($name) = @_;
    return $ENV{ 'DBNET_' . uc $name } // "$top/build/$name";
}

1;
