# A small file system of the test's own. Who is not root may mount one in a user namespace: this module, used before any
# other, runs the program again in one, where the servers that it starts are, too.
#
#   use DBNet::SmallDisk;                          # first
#   DBNet::Need::need('small_disk');
#   my $disk = DBNet::SmallDisk->new($directory, '64m');
#   $disk->fill;  …  $disk->empty;                 # a ballast file takes all the room that is left, and gives it back
package DBNet::SmallDisk;

use strict;
use warnings FATAL => 'all';

BEGIN {
    if (!defined $ENV{DBNET_MAY_MOUNT}) {
        my @command = qw(unshare --user --map-current-user --keep-caps --mount);
        $ENV{DBNET_MAY_MOUNT} = system("@command sh -c 'mount -t tmpfs -o size=1m none /tmp' > /dev/null 2>&1") == 0 ? 1 : 0;
        exec @command, $^X, (map { "-I$_" } @INC), $0, @ARGV if $ENV{DBNET_MAY_MOUNT};
    }
}

sub is_possible { return $ENV{DBNET_MAY_MOUNT} }

sub new {
    my ($class, $directory, $size) = @_;
    mkdir $directory, 0700;
    system('mount', '-t', 'tmpfs', '-o', "size=$size,mode=0700", 'none', $directory) == 0 or die "cannot mount $directory\n";
    return bless { directory => $directory }, $class;
}

sub directory { return $_[0]{directory} }

sub fill {
    my ($self) = @_;
    open my $out, '>', "$self->{directory}/ballast" or die "ballast: $!";
    for my $size (1_048_576, 4096) {
        1 while defined syswrite $out, "\0" x $size;
    }
    close $out;
    return;
}

sub empty { my ($self) = @_; unlink "$self->{directory}/ballast" or die "ballast: $!"; return }

1;
