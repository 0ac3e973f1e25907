# Files that tests replace while DBNet reads them: kubeconfigs, tokens, certificates, programs.
package DBNet::File;

use strict;
use warnings FATAL => 'all';
use Exporter 'import';

our @EXPORT_OK = qw(replace_file);

# Replaces the file as careful programs do, by rename, or writes into it. Options: mode (default 0600), in_place. Returns its path.
sub replace_file {
    my ($file, $text, %options) = @_;
    my $written = $options{in_place} ? $file : "$file.new";
    open my $out, '>', $written or die "$written: $!";
    print $out $text;
    close $out or die "$written: $!";
    chmod $options{mode} // 0600, $written or die "$written: $!";
    rename $written, $file or die "$file: $!" if !$options{in_place};
    return $file;
}

1;
