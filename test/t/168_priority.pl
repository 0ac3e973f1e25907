# deploy/priority.yaml: a real server takes it, and serves DBNet's service account by it.
use strict;
use warnings FATAL => 'all';
use DBNet::Api;
use DBNet::Environment;
use DBNet::Need;
use PostgreSQL::Test::Utils qw(slurp_file);
use Test::More;

DBNet::Need::need('binaries');
my $top     = $DBNet::Environment::top;
my $api     = DBNet::Api->start(controllers => 0, nodes_ready => 0);
my $token   = $api->token('all');
my $account = $api->{account_of}{$token};
my $space   = $api->namespace;
my $group   = '/apis/flowcontrol.apiserver.k8s.io/v1';
my $text    = slurp_file("$top/deploy/priority.yaml");
is($text =~ s/namespace: dbnet, name: dbnet/namespace: $space, name: $account/g, 2, 'both schemas name the service account of deploy/dbnet.yaml');

my %uid;
for my $object (grep { /^kind:/m } split /^---\n/m, $text) {
    my ($kind) = $object =~ /^kind: (\S+)$/m;
    my ($name) = $object =~ /^  name: (\S+)$/m;
    my $answer = $api->apply("$group/" . lc($kind) . "s/$name", $object, query => { fieldValidation => 'Strict' });
    is($answer->{status}, 201, "$kind $name") or diag($answer->{text});
    $uid{"$kind $name"} = $answer->{body}{metadata}{uid};
}
$uid{'PriorityLevelConfiguration leader-election'} = $api->get("$group/prioritylevelconfigurations/leader-election")->{body}{metadata}{uid};

sub served_by {
    my ($path, $schema, $level) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $expected = join ' ', @uid{ "FlowSchema $schema", "PriorityLevelConfiguration $level" };
    $api->wait_until(
        sub {
            local $api->{credentials} = [ @{ $api->credentials('--cacert') }, '-H', "Authorization: Bearer $token" ];
            my $headers = $api->get($path)->{headers};
            return join(' ', map { $headers->{"x-kubernetes-pf-$_-uid"} // '' } qw(flowschema prioritylevel)) eq $expected;
        },
        "$path is served by schema $schema at level $level");
    return pass("$path: schema $schema, level $level");
}
served_by('/api/v1/nodes',       'dbnet', 'dbnet');
served_by('/openapi/v3',         'dbnet', 'dbnet');
served_by("/apis/coordination.k8s.io/v1/namespaces/$space/leases/none", 'dbnet-lease', 'leader-election');
done_testing();
