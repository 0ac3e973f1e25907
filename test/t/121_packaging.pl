# What DBNet is handed out as: PGXN's META.json, the Debian package, the Dockerfile and the manifest for Kubernetes.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Cluster;
use JSON::PP ();
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

my $top = $DBNet::Environment::top;
my ($version) = slurp_file("$top/Makefile") =~ /^DBNET_VERSION := (\S+)$/m;

# --- META.json, by https://pgxn.org/spec: what must be there, and versions as it wants them ---
my $meta = JSON::PP->new->utf8->decode(slurp_file("$top/META.json"));
like($meta->{name}, qr/^[^\s\/\\\x00-\x1f]{2,}$/, 'a name');
ok(length($meta->{$_} // ''), $_) for qw(abstract description);
is($meta->{version}, "$version.0", 'the version of the library, with three parts');
ok((ref $meta->{maintainer} || $meta->{maintainer} =~ /\S/) && $meta->{license} eq 'postgresql', 'maintainer and licence');
is_deeply($meta->{'meta-spec'}, { version => '1.0.0', url => 'https://pgxn.org/meta/spec.txt' }, 'the version of the specification');
is_deeply([ keys %{ $meta->{provides} } ], ['dbnet'], 'provides the extension');
for my $key (qw(file docfile)) {
    ok(-f "$top/$meta->{provides}{dbnet}{$key}", "$key $meta->{provides}{dbnet}{$key} is there");
}
is($meta->{provides}{dbnet}{version}, $meta->{version}, 'in this version');
like($meta->{prereqs}{runtime}{requires}{PostgreSQL}, qr/^\d+\.\d+\.\d+$/, 'for which PostgreSQL');
is_deeply([ grep { !/^[^\s\/\\\x00-\x1f].{0,255}$/ } @{ $meta->{tags} } ], [], 'tags');
like(slurp_file("$top/dbnet.control"), qr/^default_version = '\Q$version\E'$/m, 'the control file has the version');

# --- the Debian package: control files, and what make deb has built of them ---
my $control = slurp_file("$top/debian/control.in");
my %builds = map { $_ => 1 } split /[,\s]+/, join ' ', $control =~ /^Build-Depends:(.*?)^\S/ms;
my ($tested) = slurp_file("$top/test/packages.sh") =~ /^packages="(.*?)"/ms;
# What the tests use besides: compilers that every build has, programs, and libraries of the tests alone.
my %besides = map { $_ => 1 } qw(make g++ perl openssl curl git zstd libgtest-dev libprotoc-dev libipc-run-perl);
is_deeply([ sort grep { /-dev/ && !/^postgresql/ } keys %builds ], [ sort grep { !$besides{$_} } split ' ', $tested =~ s{\$\*}{}r ], 'Build-Depends and test/packages.sh name the same libraries');
like(slurp_file("$top/debian/changelog"), qr/\Adbnet \(\Q$version\E\) /, 'the changelog has the version');
SKIP: {
    DBNet::Need::or_skip('package');
    my $package = DBNet::Need::package_file();
    # A PostgreSQL tree of its own, with what the package brings and nothing else of DBNet.
    my $root = PostgreSQL::Test::Utils::tempdir();
    my ($system) = ($ENV{PATH} =~ m{^([^:]*/build/root)/}) or die "not run by test/check.pl: $ENV{PATH}";
    system('cp', '-a', "$system/usr", $root) == 0 or die 'cp';
    chomp(my @old = `find $root -name 'dbnet*'`);
    unlink @old;
    is(system("dpkg-deb -x $package $root"), 0, 'the package unpacks');
    my ($bin) = $ENV{PATH} =~ m{^[^:]*/build/root(/[^:]*)};
    my $node = DBNet::Cluster->new('packaged', install_path => $root . $bin =~ s{/bin$}{}r);
    $node->init;
    $node->start;
    $node->psql_ok('CREATE EXTENSION dbnet', 'CREATE EXTENSION from the package');
    $node->wait_for(q{SELECT state FROM dbnet.worker WHERE process = 'mirror worker'}, 'its worker runs', expected => 'running');
    $node->query_is(q{SELECT extversion FROM pg_extension WHERE extname = 'dbnet'}, $version, 'in this version');
    my $depends = `dpkg-deb -f $package Depends`;
    my ($server) = $package =~ /postgresql-(\d+)-/;
    like($depends, qr/\bpostgresql-$server,/, 'it depends on the server');
    like($depends, qr/\b$_\b/, "on $_") for qw(libcurl4 libmicrohttpd12 libsimdjson14 libyaml-cpp0.7);
    chomp(my @files = `dpkg-deb -c $package | awk '{print \$6}'`);
    is_deeply([ grep { !m{/$} && !m{/(?:dbnet\.so|dbnet--[\d.-]+\.sql|dbnet\.control)$} && !m{^\./usr/share/doc/postgresql-$server-dbnet/} } @files ], [], 'it has the library, its scripts, documents, and nothing else');
    $node->no_crash_in_log;
}

# --- the Dockerfile: stages, user, command ---
my $dockerfile = slurp_file("$top/Dockerfile");
is(scalar(() = $dockerfile =~ /^FROM postgres:\$\{PG_MAJOR\}-bookworm/mg), 2, 'built in one stage, run in another, from the same PostgreSQL');
like($dockerfile, qr/^USER postgres\n.*^CMD \["postgres", "-c", "shared_preload_libraries=dbnet"\]$/ms, 'not as root, preloaded');
like(slurp_file("$top/.dockerignore"), qr/^build$/m, 'without what was built here');

# --- the manifest: a server takes each object, and the database starts with its SQL ---
my $manifest = slurp_file("$top/deploy/dbnet.yaml");
my @objects = grep { /^kind:/m } split /^---\n/m, $manifest;
DBNet::Need::may_need('own_servers');
SKIP: {
    DBNet::Need::or_skip('own_servers');
    my $api = DBNet::Api->start(controllers => 0);
    my %plural = (Namespace => 'namespaces', ServiceAccount => 'serviceaccounts', ConfigMap => 'configmaps', Service => 'services', StatefulSet => 'statefulsets',
        ClusterRole => 'clusterroles', ClusterRoleBinding => 'clusterrolebindings');
    my $taken = 0;
    for my $object (@objects) {
        my ($group, $kind) = $object =~ /^apiVersion: (\S+)\nkind: (\S+)$/m;
        my ($name, $space) = ($object =~ /^metadata:\n  name: (\S+)\n(?:  namespace: (\S+))?/m);
        next if $group =~ /^rbac/ && $api->kind eq 'simulator';    # it has no roles
        my $path = ($group =~ m{/} ? '/apis/' : '/api/') . $group . (defined $space ? "/namespaces/$space" : '') . "/$plural{$kind}/$name";
        my $answer = $api->apply($path, $object, query => { fieldValidation => 'Strict' });
        ok($answer->{status} =~ /^20[01]$/, "$kind $name") or diag($answer->{text});
        $taken++;
    }
    is($taken, $api->kind eq 'simulator' ? 5 : 7, 'every object');
    my $pod = $api->get('/apis/apps/v1/namespaces/dbnet/statefulsets/dbnet')->{body}{spec}{template}{spec};
    is($pod->{securityContext}{runAsNonRoot}, JSON::PP::true, 'not as root');
    my %volumes = map { $_->{name} => 1 } @{ $pod->{volumes} }, { name => 'data' };
    is_deeply([ grep { !$volumes{ $_->{name} } } @{ $pod->{containers}[0]{volumeMounts} } ], [], 'each volume that is mounted is there');
    my ($sql) = $api->get('/api/v1/namespaces/dbnet/configmaps/dbnet')->{body}{data}{'10-dbnet.sql'};
    my $node = DBNet::Cluster->started('deployed', extension => 0);
    $node->psql_ok($sql, 'the SQL of the first start');
    $node->query_is(q{SELECT srvname, array_to_string(srvoptions, ' ') FROM pg_foreign_server}, 'local|in_cluster=true lease_namespace=dbnet', 'makes the server', database => 'network');
    $node->query_is(q{SELECT dbnet.rbac('local', 'system:serviceaccount:dbnet:dbnet') LIKE '# No table mirrors%'}, 't', 'for which rbac() prints the rights', database => 'network');
    # What rbac() prints later replaces what the manifest gives at first: the same name.
    my ($given) = $manifest =~ /^kind: ClusterRole\nmetadata:\n  name: (\S+)$/m;
    is($given, 'dbnet-local', 'under the name that the manifest has');
}
done_testing();
