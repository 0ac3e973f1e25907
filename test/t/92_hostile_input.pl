# Names that are too long, text that means something to somebody on its way, definitions and objects at their limits: what
# can be said comes back byte for byte, row to object to row and through OTLP; what cannot is refused with a reason.
use strict;
use warnings FATAL => 'all';
use utf8;
use DBNet::Api;
use DBNet::Cluster;
use DBNet::Gateway;
use JSON::PP ();
use Encode ();
use Test::More;

my $api = DBNet::Api->start(nodes_ready => 0, controllers => 0);
my $node = DBNet::Cluster->started('hostile_input');
my $space = $api->namespace;
my $maps = "/api/v1/namespaces/$space/configmaps";
my $json = JSON::PP->new->utf8->canonical;

sub literal { my ($value) = @_; return DBNet::Api::quote($json->encode($value)) }
sub settled { my ($what) = @_; local $Test::Builder::Level = $Test::Builder::Level + 1; return $node->query_is(q{SELECT key, phase, message FROM dbnet.wait_synced('60 s')}, '', $what) }
# The server's words about an object, once they are there.
sub told {
    my ($name, $words, $what) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $node->wait_for('SELECT message LIKE ' . DBNet::Api::quote("%$words%") . ' FROM dbnet.object WHERE name = ' . DBNet::Api::quote($name), $what);
}

$node->psql_ok($api->create_server('prod') . qq{
    CREATE SCHEMA net;
    CREATE TABLE net.maps (name text PRIMARY KEY, labels jsonb, annotations jsonb, data jsonb);
    SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.maps', namespace => '$space', mode => 'manage',
        columns => '{"name": "metadata.name", "labels": "metadata.labels", "annotations": "metadata.annotations", "data": "data"}')}, 'a mirror');

# Text that breaks whoever puts it into SQL, JSON, YAML, a URL, a format or a log line without care.
my %hostile = (
    empty => '',
    quotes => q{a 'single' "double" `back` \\ \\' $$ $1},
    statement => q{'; DROP TABLE net.maps; --},
    format => '%s %n %d %% %',
    lines => "a\nb\r\nc\x{85}d\x{2028}e\x{2029}f",
    controls => join('', map { chr } 1 .. 31, 127 .. 159),
    yaml => "- a: &b *c !!binary | >\n  ? [x]: {y}\n...\n---\n# \"no\" 'yes' ~ null 0x10 1_000 .inf",
    json => '{"a": "\\u0000", "b": [1e999]}',
    path => '../../%2e%2e/?watch=1&x#y',
    number => '00123', truth => 'true', nothing => 'null',
    spaces => "  \t leading and trailing \t ",
    long_line => 'x' x 5000 . ' ' . 'y' x 5000,
);
# Every corner of Unicode but U+0000 and surrogates, which are no characters.
my %unicode = (
    astral => "\x{1F600}\x{10000}\x{10FFFD}\x{20BB7}",
    joined => "\x{1F468}\x{200D}\x{1F469}\x{200D}\x{1F467}\x{1F3FD}",
    combining => "e\x{301} \x{E9} A\x{30A}\x{C5}\x{212B} " . 'o' . "\x{308}" x 50,
    right_to_left => "\x{202E}abc\x{202C} \x{5E9}\x{5DC}\x{5D5}\x{5DD} \x{645}\x{631}\x{62D}\x{628}\x{627}\x{200F}",
    mark => "\x{FEFF}first",
    replaced => "\x{FFFD}",
    no_characters => do { no warnings 'nonchar'; "\x{FFFE}\x{FFFF}\x{FDD0}\x{1FFFE}\x{10FFFF}" },
    private => "\x{E000}\x{F8FF}\x{F0000}",
    invisible => "\x{200B}\x{2060}\x{AD}\x{180E}\x{E0001}",
    last_ones => "\x{7F}\x{80}\x{7FF}\x{800}\x{D7FF}\x{E000}",
);

for my $case ([ hostile => \%hostile ], [ unicode => \%unicode ]) {
    my ($name, $texts) = @$case;
    subtest "$name: row to object to row" => sub {
        my $annotations = { map { ("dbnet.test/$_" => $texts->{$_}) } keys %$texts };
        $node->psql_ok("INSERT INTO net.maps (name, data, annotations) VALUES ('$name', " . literal($texts) . '::jsonb, ' . literal($annotations) . '::jsonb)', 'a row');
        settled('is sent');
        my $object = $api->get("$maps/$name")->{body};
        is_deeply($object->{data}, $texts, 'the object has the same data');
        is_deeply({ map { ($_ => $object->{metadata}{annotations}{$_}) } keys %$annotations }, $annotations, 'and annotations');
        my $other = { map { ($_ => "$texts->{$_}+$texts->{$_}") } keys %$texts };
        $api->expect_success($api->create($maps, { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => "$name.made", annotations => $annotations }, data => $other }));
        $node->wait_for("SELECT data = " . literal($other) . "::jsonb AND annotations @> " . literal($annotations) . "::jsonb FROM net.maps WHERE name = '$name.made'", 'and what another client made comes into a row as it is');
        for my $key (sort keys %$texts) {
            my $hexadecimal = do { my $bytes = $other->{$key}; utf8::encode($bytes); unpack 'H*', $bytes };
            $node->query_is("SELECT encode(convert_to(data->>'$key', 'UTF8'), 'hex') FROM net.maps WHERE name = '$name.made'", $hexadecimal, "$key: byte for byte");
        }
        $node->query_is(q{SELECT count(*) FROM dbnet.preview('net.maps')}, '0', 'and is no wish');
    };
}

subtest 'U+0000 cannot be in a row' => sub {
    $node->fails_like(q{INSERT INTO net.maps (name, data) VALUES ('null', '{"a": "x\u0000y"}')}, '22P05', qr/unsupported Unicode escape sequence.*\\u0000 cannot be converted to text/s, 'PostgreSQL says so');
    $node->fails_like(q{INSERT INTO net.maps (name, data) VALUES ('null', '{"a": "x\ud83dy"}')}, '22P02', qr/invalid input syntax for type json.*surrogate/s, 'nor half a surrogate pair');
    $api->expect_success($api->create($maps, { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'null' }, data => { a => "x\0y", b => '1' } }));
    $node->wait_for(qq{SELECT data->>'a' = U&'x\\FFFDy' FROM net.maps WHERE name = 'null'}, 'of an object, it is U+FFFD in the row');
    $node->psql_ok(q{UPDATE net.maps SET data = jsonb_set(data, '{b}', '"2"') WHERE name = 'null'}, 'a change of another member');
    settled('is sent');
    is_deeply($api->get("$maps/null")->{body}{data}, { a => "x\x{FFFD}y", b => '2' }, 'with the column as it is in the row');
};

subtest 'names that are refused by the server' => sub {
    for my $case ([ long => 'n' x 254 ], [ upper => 'Upper' ], [ quote => q{it's} ], [ slash => 'a/../b' ], [ dot => '.' ], [ dots => '..' ], [ nothing => '' ], [ line => "a\nb" ], [ percent => 'a%2fb' ], [ wide => "\x{1F600}" ]) {
        my ($what, $name) = @$case;
        utf8::encode(my $bytes = $name);
        $node->psql_ok('INSERT INTO net.maps (name) VALUES (' . DBNet::Api::quote($bytes) . ')', "$what: a row");
        told($bytes, '_', "$what: the reason");
        $node->psql_ok('DELETE FROM net.maps WHERE name = ' . DBNet::Api::quote($bytes), "$what: and no row");
    }
    settled('nothing is left');
};

subtest 'labels' => sub {
    my $key = join('.', 'a' x 63, 'b' x 63, 'c' x 63, 'd' x 61) . '/' . 'k' x 63;    # the longest that there is: 253 / 63
    my $labels = { $key => 'v' x 63, empty => '' };
    $node->psql_ok("INSERT INTO net.maps (name, labels) VALUES ('labels', " . literal($labels) . ')', 'the longest key and value, and an empty one');
    settled('are sent');
    is_deeply($api->get("$maps/labels")->{body}{metadata}{labels}, $labels, 'and in the object');
    $node->psql_ok(qq{UPDATE net.maps SET labels = labels || '{"x": "no spaces please"}' WHERE name = 'labels'}, 'a value that is none');
    told('labels', 'metadata.labels: Invalid value: "no spaces please": a valid label must be', 'the words of the server');
    $node->psql_ok(q{DELETE FROM net.maps WHERE name = 'labels'}, 'and no row');
    settled('nothing is left');
};

subtest 'identifiers beyond 63 bytes' => sub {
    my $long = 'c' x 63 . '1';
    my $cut = substr $long, 0, 63;
    $node->query_is("SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.$long')", "net.$cut", 'a table is cut, as PostgreSQL does');
    $node->psql_ok('CREATE TABLE net.other (name text PRIMARY KEY)', 'a table');
    $node->fails_like("SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.other', columns => '{\"$long\": \"metadata.name\"}')", '42703', qr/$long/, 'a column of a map is not');
    $node->psql_ok("SELECT dbnet.unmirror('net.$cut')", 'no mirror any more');
};

subtest 'objects at their limit' => sub {
    my $most = 1024 * 1024;
    $node->psql_ok(qq{INSERT INTO net.maps (name, data) VALUES ('large', jsonb_build_object('a', repeat('a"', $most / 2))), ('larger', jsonb_build_object('a', repeat('a', $most + 1)))}, 'rows');
    told('larger', 'Too long: % 1048576 bytes', 'beyond it: the words of the server'); # "must have at most", or "may not be more than"
    $node->psql_ok(q{DELETE FROM net.maps WHERE name = 'larger'}, 'and no row');
    settled('the other is sent');
    ok($api->get("$maps/large")->{body}{data}{a} eq 'a"' x ($most / 2), 'a value of 1 MiB');
    $api->expect_success($api->create($maps, { apiVersion => 'v1', kind => 'ConfigMap', metadata => { name => 'large.made' }, data => { a => "\x{20AC}b" x ($most / 4) } }));
    $node->wait_for(qq{SELECT data->>'a' = repeat(U&'\\20ACb', $most / 4) FROM net.maps WHERE name = 'large.made'}, 'and one of another client');
};

subtest 'a definition of 10 000 properties with long names' => sub {
    my ($kind, $group, $plural) = ('W' . 'x' x 62, join('.', 'g' x 63, 'h' x 63, 'i' x 49, 'example.com'), 'w' . 'x' x 62);
    my %properties = map { (sprintf('property%05d%s', $_, 'p' x 70) => { type => $_ % 2 ? 'string' : 'integer' }) } 1 .. 10_000;
    my @names = sort keys %properties;
    $api->expect_success($api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition',
        metadata => { name => "$plural.$group" }, spec => { group => $group, scope => 'Namespaced', names => { plural => $plural, kind => $kind, listKind => 'L' . 'x' x 62 },
            versions => [ { name => 'v1', served => JSON::PP::true(), storage => JSON::PP::true(), schema => { openAPIV3Schema => { type => 'object',
                        properties => { spec => { type => 'object', properties => \%properties } } } } } ] } }));
    my $path = "/apis/$group/v1/namespaces/$space/$plural";
    for my $served ($path, "/openapi/v3/apis/$group/v1") {    # the description lags behind
        $api->wait_until(sub { $api->get($served)->{status} == 200 }, 'is served');
    }
    $node->fails_like("SELECT dbnet.mirror('prod', '$group/v1', '$kind', 'net.generated', namespace => '$space')", '54011', qr/1600 columns/, 'too many columns for a table');
    $node->psql_ok(qq{CREATE TABLE net.wide (name text PRIMARY KEY, first text, last bigint);
        SELECT dbnet.mirror('prod', '$group/v1', '$kind', 'net.wide', namespace => '$space', mode => 'manage',
            columns => '{"name": "metadata.name", "first": "spec.$names[0]", "last": "spec.$names[9999]"}')}, 'a table with two of them');
    $node->psql_ok(q{INSERT INTO net.wide VALUES ('some', 'x', 7)}, 'a row');
    settled('is sent');
    is_deeply($api->get("$path/some")->{body}{spec}, { $names[0] => 'x', $names[9999] => 7 }, 'and in the object');
    # All of them, with what managedFields says of each, would be more than etcd takes.
    my $spec = { map { ($names[$_] => $_ % 2 ? 1000 + $_ : "text $_") } 0 .. 6000, $#names };
    $api->expect_success($api->create($path, { apiVersion => "$group/v1", kind => $kind, metadata => { name => 'most' }, spec => $spec }));
    $node->wait_for(q{SELECT first = 'text 0' AND last = 10999 FROM net.wide WHERE name = 'most'}, 'one that has most of them comes into the table');
};

subtest 'the same texts through OTLP' => sub {
    my $gateway = DBNet::Gateway->open($node);
    my %texts = (%hostile, %unicode);
    for my $key (sort keys %texts) {
        my $name = $texts{$key} eq '' ? 'none' : $texts{$key};
        my $answer = $gateway->post('/v1/traces', body => Encode::encode_utf8(DBNet::Gateway::traces(1, name => $name, service => $key)));
        is($answer->{status}, 200, "$key: is taken");
        utf8::encode(my $bytes = $name);
        $node->query_is("SELECT count(*) FROM otel.spans WHERE encode(convert_to(name, 'UTF8'), 'hex') = '" . unpack('H*', $bytes) . "'", '1', "$key: byte for byte");
    }
    my $answer = $gateway->post('/v1/traces', body => DBNet::Gateway::traces(1, name => 'NAME') =~ s/NAME/zero\\u0000half\\ud83dend/r);
    is($answer->{status}, 200, 'U+0000 and half a surrogate pair');
    like($answer->{body}, qr/no valid Unicode: replaced by U\+FFFD/, 'are told');
    $node->query_is(q{SELECT count(*) FROM otel.spans WHERE name = U&'zero\FFFDhalf\FFFDend'}, '1', 'and replaced');
};

$node->query_is(q{SELECT count(*) > 0 FROM net.maps}, 't', 'nobody dropped the table');
$node->no_crash_in_log;
done_testing();
