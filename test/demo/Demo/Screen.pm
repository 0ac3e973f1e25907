# What the demo prints: headings, text, SQL and tables, for a terminal of 100 columns. Colours only on a terminal, and not
# with NO_COLOR. Loaded first: the harness takes standard output for its log.
package Demo::Screen;

use strict;
use warnings FATAL => 'all';
use IO::Handle;
use List::Util qw(max);

my $screen;
BEGIN { open $screen, '>&', \*STDOUT or die "standard output: $!\n"; $screen->autoflush }
my $colours = ($ENV{DBNET_DEMO_COLOURS} // -t $screen) && !defined $ENV{NO_COLOR} && ($ENV{TERM} // '') ne 'dumb';

sub painted { my ($code, $text) = @_; return $colours ? "\e[${code}m$text\e[0m" : $text }
sub strong  { return painted(1,  @_) }
sub faint   { return painted(2,  @_) }
sub good    { return painted(32, @_) }
sub alert   { return painted(33, @_) }

sub line    { my ($text) = @_; print {$screen} $text // '', "\n"; return }
sub heading { my ($text) = @_; line(); line(strong($text)); line(strong('-' x length $text)); return }

# Lines of at most 100 columns; '~' is a space at which none ends.
sub paragraph {
    my ($text, $indent) = @_;
    $indent //= 0;
    my $line = '';
    for my $word (split ' ', $text) {
        if ($line ne '' && $indent + length($line) + 1 + length $word > 100) {
            line(' ' x $indent . $line =~ tr/~/ /r);
            $line = '';
        }
        $line .= ($line eq '' ? '' : ' ') . $word;
    }
    line(' ' x $indent . $line =~ tr/~/ /r) if $line ne '';
    return;
}

sub sql {
    my ($text) = @_;
    for my $line (split /\n/, $text) {
        if ($line eq '') { line(); next }
        $line =~ s/(--.*)$/faint($1)/e
          or $line =~ s/\b(CREATE \w+|TRIGGER|AFTER|WHEN|INSERT INTO|UPDATE(?! OF)|DELETE FROM|CALL|SELECT)\b/strong($1)/ge;
        line("    $line");
    }
    return;
}

# Rows of texts below their titles; columns whose texts are numbers are aligned to the right, undef is empty.
sub table {
    my ($titles, @rows) = @_;
    my @all = map { [ map { $_ // '' } @$_ ] } @rows;
    my @width = map { my $at = $_; max map { length $_->[$at] } $titles, @all } 0 .. $#$titles;
    my @right = map { my $at = $_; !grep { $_->[$at] !~ /^[+-]?[\d.]*(?: ms| %| rps)?$/ } @all } 0 .. $#$titles;
    my $format = sub {
        my @cells = map { $right[$_] ? sprintf('%*s', $width[$_], $_[0][$_]) : sprintf('%-*s', $width[$_], $_[0][$_]) } 0 .. $#$titles;
        return '    ' . join('  ', @cells) =~ s/\s+$//r;
    };
    line(faint($format->($titles)));
    line($format->($_)) for @all;
    return;
}

# Whoever started us in the background copies what we say until this mark (test/check.pl).
sub leave {
    print {$screen} "\0kept\n" if defined $ENV{DBNET_DEMO_COLOURS};
    open $screen, '>', '/dev/null' or die "/dev/null: $!\n";
    return;
}

1;
