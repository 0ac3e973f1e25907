#!/usr/bin/perl
# Checks the rules of the boundary between C++ and PostgreSQL, and of the files' form, that a text search can check.
# Prints one line per finding, exits 1 when there is one.
use strict;
use warnings;

my $findings = 0;
sub finding { my ($file, $line, $text) = @_; print "$file:$line: $text\n"; $findings++ }

for my $file (split /\n/, `git ls-files '*.cpp' '*.hpp' '*.pl' '*.pm' '*.sql'`) {
    open my $in, '<', $file or next;
    my @lines = <$in>;
    my $text = join '', @lines;
    my $code = $file =~ /\.[ch]pp$/;
    my $library = $code && $file =~ m{^(src|bgworker)/};
    finding($file, scalar(@lines), 'more than 800 lines: split it by role') if @lines > 800;
    finding($file, 1, 'the first line must say what the file is for') if $code && ($lines[0] // '') !~ m{^//};
    my $pure = $text =~ m{#include "pg/no_postgres\.hpp"};
    finding($file, 1, 'src/kubernetes is pure C++: end the includes with pg/no_postgres.hpp')
      if $file =~ m{^src/kubernetes/.*\.cpp$} && !$pure;
    finding($file, 1, 'a pure file includes postgres.h') if $pure && $text =~ /#include "postgres\.h"/;
    for my $number (1 .. @lines) {
        my $line = $lines[ $number - 1 ];
        finding($file, $number, 'tab') if $code && $line =~ /\t/;
        finding($file, $number, 'trailing space') if $line =~ /[ \t]+$/ && $file !~ m{^expected/};
        finding($file, $number, 'databases in other encodings read the script, too: ASCII alone') if $file =~ m{^sql/} && $line =~ /[^\x00-\x7f]/;
        next if !$library;
        finding($file, $number, 'version differences belong in src/pg/compat.hpp')
          if $line =~ /PG_VERSION_NUM/ && $file ne 'src/pg/compat.hpp';
        finding($file, $number, 'PG_TRY in C++: use pg::call') if $line =~ /\bPG_TRY\b/;
        finding($file, $number, 'ereport/elog above the door: throw pg::error, or use what src/pg offers for messages')
          if $line =~ /^\s*(ereport|elog)\(/ && $file !~ m{^src/pg/};
        finding($file, $number, 'spinlock') if $line =~ /\bSpinLockAcquire\b/;
        finding($file, $number, 'thread in the library') if $line =~ /\bstd::j?thread\b|pthread_create/;
    }
}
exit($findings ? 1 : 0);
