# The load of the kill test: sessions that change the rows of three mirrors in every way, somebody else who works on the
# same objects at the API, and a witness that writes down every object the API ever showed. All are processes of their
# own that outlive any server; what they did is told by a table and by files.
#
#   my $load = DBNet::Load->new($node, $api, seed => 7);    # makes mirrors net.configs, net.widgets and net.shelf
#   $load->start;  …;  $load->stop;                         # as often as wanted; after stop nothing is prepared or open
#
# Table wish has a line for every committed change of a row (operation I, U, D; T: TRUNCATE), written by a trigger in the
# same transaction, reports apart. Each value a session writes is a token that nobody writes twice. Keys: 'c1-…' are
# written by session 1 alone, 'hot-…' by all; of those with a 'v' ("victims") the other one also deletes objects and
# changes claimed fields; 'x-…' are the other one's own.
package DBNet::Load;

use strict;
use warnings FATAL => 'all';
use DBNet::Process;
use Carp;
use IO::Handle;
use IPC::Open2;
use JSON::PP ();
use PostgreSQL::Test::Utils ();
use Time::HiRes qw(sleep time);
use Time::Piece ();

my $json = JSON::PP->new->utf8->canonical;
my @relations = qw(configs widgets shelf);
my $sessions = 3;
my $part = 'load.dbnet.io/part';    # label: which of the two mirrors of ConfigMaps
my $mark = 'example.com/mark';

sub new {
    my ($class, $node, $api, %options) = @_;
    my $self = bless { node => $node, api => $api, seed => $options{seed}, round => 0, folder => PostgreSQL::Test::Utils::tempdir('load') }, $class;
    $self->make_mirrors;
    $self->{witnesses} = [ map { my $kind = $_; $self->process("witness_$kind", sub { $self->witness($kind) }) } qw(configmaps widgets) ];
    return $self;
}

sub make_mirrors {
    my ($self) = @_;
    my ($node, $api) = @{$self}{qw(node api)};
    my $text = { type => 'string' };
    $api->expect_success($api->create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
        apiVersion => 'apiextensions.k8s.io/v1', kind => 'CustomResourceDefinition', metadata => { name => 'widgets.load.dbnet.io', labels => $api->labels },
        spec => { group => 'load.dbnet.io', scope => 'Namespaced', names => { plural => 'widgets', singular => 'widget', kind => 'Widget', listKind => 'WidgetList' },
            versions => [ { name => 'v1', served => JSON::PP::true(), storage => JSON::PP::true(), subresources => { status => {} },
                    schema => { openAPIV3Schema => { type => 'object', properties => {
                                spec   => { type => 'object', required => ['token'], properties => { token => $text, note => $text } },
                                status => { type => 'object', properties => { state => $text } } } } } } ] } }));
    for my $served ($self->path('widgets'), '/openapi/v3/apis/load.dbnet.io/v1') {    # the description lags behind
        $api->wait_until(sub { $api->get($served)->{status} == 200 }, "$served is served");
    }
    my $namespace = DBNet::Api::quote($api->namespace);
    $node->safe_psql('postgres', $api->create_server('prod') . <<"SQL");
CREATE SCHEMA net;
CREATE TABLE net.configs (name text PRIMARY KEY, labels jsonb DEFAULT '{"$part": "configs"}', data jsonb);
CREATE TABLE net.shelf (name text PRIMARY KEY, labels jsonb DEFAULT '{"$part": "shelf"}', data jsonb);
CREATE TABLE net.widgets (name text PRIMARY KEY, token text, note text, state text);
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.configs', namespace => $namespace, label_selector => '$part=configs', mode => 'manage',
    columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');
SELECT dbnet.mirror('prod', 'v1', 'ConfigMap', 'net.shelf', namespace => $namespace, label_selector => '$part=shelf', mode => 'manage',
    columns => '{"name": "metadata.name", "labels": "metadata.labels", "data": "data"}');
SELECT dbnet.mirror('prod', 'load.dbnet.io/v1', 'Widget', 'net.widgets', namespace => $namespace, mode => 'manage',
    columns => '{"name": "metadata.name", "token": "spec.token", "note": "spec.note", "state": "status.state"}');

CREATE TABLE wish (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, relation text NOT NULL, operation text NOT NULL, name text, token text,
    is_report boolean NOT NULL DEFAULT dbnet.is_report(), transaction xid8 NOT NULL DEFAULT pg_current_xact_id());
CREATE TABLE done (session integer, number integer, PRIMARY KEY (session, number));
CREATE FUNCTION note_wish() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO wish (relation, operation) VALUES (TG_TABLE_NAME, 'T');
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.name <> NEW.name THEN
        INSERT INTO wish (relation, operation, name) VALUES (TG_TABLE_NAME, 'D', OLD.name);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO wish (relation, operation, name, token) VALUES (TG_TABLE_NAME,
            CASE WHEN TG_OP = 'UPDATE' AND OLD.name = NEW.name THEN 'U' ELSE 'I' END, NEW.name,
            coalesce(to_jsonb(NEW)->>'token', to_jsonb(NEW)->'data'->>'token'));
    END IF;
    RETURN NULL;
END \$\$;
SQL
    for my $relation (@relations) {
        $node->safe_psql('postgres', "CREATE TRIGGER wish AFTER INSERT OR UPDATE OR DELETE ON net.$relation FOR EACH ROW EXECUTE FUNCTION note_wish();
            CREATE TRIGGER wish_truncate AFTER TRUNCATE ON net.$relation FOR EACH STATEMENT EXECUTE FUNCTION note_wish()");
    }
    $node->poll_query_until('postgres', q{SELECT bool_and(state = 'synced') FROM dbnet.mirror_status}) or croak "mirrors are not listed\n" . $node->diagnostics;
    return;
}

sub path {
    my ($self, $kind, $name) = @_;
    my $space = 'namespaces/' . $self->{api}->namespace;
    return ($kind eq 'widgets' ? "/apis/load.dbnet.io/v1/$space/widgets" : "/api/v1/$space/configmaps") . (defined $name ? "/$name" : '');
}

sub process {
    my ($self, $name, $code) = @_;
    my $parent = $$;
    return DBNet::Process->start(name => $name, log => "$ENV{TESTLOGDIR}/load_$name.log",
        code => sub { $self->{parent} = $parent; STDOUT->autoflush(1); $code->() });
}

sub start {
    my ($self) = @_;
    unlink "$self->{folder}/stop";
    my $round = $self->{round}++;
    $self->{workers} = [ (map { my $number = $_; $self->process("session_$number", sub { $self->session($number, $round) }) } 1 .. $sessions),
        $self->process('other', sub { $self->other($round) }) ];
    return;
}

# Waits until all have done their last; commits what is prepared.
sub stop {
    my ($self) = @_;
    open my $out, '>', "$self->{folder}/stop" or croak "$self->{folder}/stop: $!";
    close $out;
    my $deadline = time + 60;
    for my $worker (@{ $self->{workers} }) {
        sleep 0.02 while $worker->is_running && time < $deadline;
        croak 'does not end: ' . $worker->log_tail if $worker->is_running;
        croak 'has failed: ' . $worker->log_tail if $worker->{status};
    }
    for my $name (split /\n/, $self->{node}->safe_psql('postgres', 'SELECT gid FROM pg_prepared_xacts')) {
        $self->{node}->safe_psql('postgres', "COMMIT PREPARED '$name'");
    }
    return;
}

sub is_over { my ($self) = @_; return -e "$self->{folder}/stop" || getppid() != $self->{parent} }

sub note {
    my ($self, $file, @words) = @_;
    open my $out, '>>', "$self->{folder}/$file" or die "$file: $!";
    print $out "@words\n";
    close $out or die "$file: $!";
    return;
}

# Lines of a file as arrays of words.
sub noted {
    my ($self, $file) = @_;
    return if !-e "$self->{folder}/$file";
    return map { [ split / / ] } split /\n/, PostgreSQL::Test::Utils::slurp_file("$self->{folder}/$file");
}

# --- sessions -------------------------------------------------------------------------------------------------------

sub pick { return $_[ rand @_ ] }

sub session {
    my ($self, $number, $round) = @_;
    srand $self->{seed} * 1000 + $round * 10 + $number;
    local $SIG{PIPE} = 'IGNORE';
    my $state = { number => $number, round => $round, prefix => "c$number", token => "$round.$number" };
    my $connection;
    my $count = 0;
    while (!$self->is_over) {
        if (!$connection) {
            $connection = $self->connect($number) or sleep 0.03, next;
        }
        my $sql = $self->transaction($state, ++$count);
        my $answer = answer_of($connection, "$sql\n\\echo answered $count\n", "answered $count");
        undef $connection if $answer !~ /^answered $count$/m;
        print "$count: $1\n" if $answer =~ /((?:ERROR|FATAL|PANIC): .*)/;
        # Session 3 commits asynchronously, so it has been promised nothing.
        $self->note("committed_$number", $state->{done}) if $number != 3 && $answer =~ /^COMMIT(?: PREPARED)?$/m;
        sleep rand 0.03;
    }
    return;
}

# A psql that is fed transactions; it ends when the server goes away.
sub connect {
    my ($self, $number) = @_;
    my ($from, $to);
    my $pid = open2($from, $to, DBNet::Process::command_tied_to_us('sh', '-c', 'exec psql "$@" 2>&1', 'psql', '-XAt', '-d', $self->{node}->connstr('postgres')));
    my $connection = { pid => $pid, from => $from, to => $to };
    $to->autoflush(1);
    my $mode = $number == 3 ? 'off' : 'on';
    return answer_of($connection, "SET lock_timeout = '2s'; SET synchronous_commit = $mode;\n\\echo connected\n", 'connected') =~ /^connected$/m ? $connection : undef;
}

sub answer_of {
    my ($connection, $text, $end) = @_;
    print { $connection->{to} } $text;
    my $answer = '';
    while (defined(my $line = readline $connection->{from})) {
        $answer .= $line;
        return $answer if $line eq "$end\n";
    }
    close $connection->{to};
    waitpid $connection->{pid}, 0;
    return $answer;
}

sub upsert {
    my ($state, $relation, $name) = @_;
    my $token = $state->{token} . '.' . ++$state->{tokens};
    return "INSERT INTO net.widgets (name, token) VALUES ('$name', '$token') ON CONFLICT (name) DO UPDATE SET token = excluded.token;" if $relation eq 'widgets';
    my $more = rand() < 0.3 ? qq(, "more": "$token") : '';
    return qq(INSERT INTO net.$relation (name, data) VALUES ('$name', '{"token": "$token"$more}') ON CONFLICT (name) DO UPDATE SET data = excluded.data;);
}

sub update {
    my ($state, $relation, $condition) = @_;
    my $token = $state->{token} . '.' . ++$state->{tokens};
    return "UPDATE net.$relation SET " . ($relation eq 'widgets' ? "token = '$token'" : qq(data = '{"token": "$token"}')) . " WHERE $condition;";
}

sub remove { my ($relation, $name) = @_; return "DELETE FROM net.$relation WHERE name = '$name';" }

# The SQL of the next transaction; $state->{done} is what it leaves in table done when it commits.
sub transaction {
    my ($self, $state, $count) = @_;
    my $prefix = $state->{prefix};
    my $relation = pick(qw(configs configs widgets));
    my $victim = rand() < 0.25 ? 'v' : '';
    my $name = "$prefix-$victim" . int rand($victim ? 2 : 6);
    my $other = "$prefix-$victim" . int rand($victim ? 2 : 6);
    my $done = $state->{done} = 1_000_000 * $state->{round} + $count;
    my $mark = "INSERT INTO done VALUES ($state->{number}, $done);";
    if ($state->{prepared} && rand() < 0.1) {
        ($state->{done}, my $gid) = @{ delete $state->{prepared} };
        return rand() < 0.8 ? "COMMIT PREPARED '$gid';" : "ROLLBACK PREPARED '$gid';";
    }
    my $kind = rand;
    if ($kind < 0.06 && !$state->{prepared}) {
        my $gid = "load-$state->{token}.$count";
        $state->{prepared} = [ $done, $gid ];
        return "BEGIN; $mark " . upsert($state, 'configs', "$prefix-p0") . (rand() < 0.5 ? upsert($state, 'widgets', "$prefix-p1") : remove('widgets', "$prefix-p1"))
          . " PREPARE TRANSACTION '$gid';";
    }
    return "BEGIN; $mark TRUNCATE net.shelf; COMMIT;" if $kind < 0.07;
    if ($kind < 0.15) {
        my $place = "s$state->{number}-" . int rand 5;    # no name of net.configs: both are ConfigMaps
        return "BEGIN; $mark " . (rand() < 0.8 ? upsert($state, 'shelf', $place) : remove('shelf', $place)) . ' COMMIT;';
    }
    return "BEGIN; $mark " . upsert($state, $relation, $name) . remove('configs', $other) . ' ROLLBACK;' if $kind < 0.2;
    my $body
      = $kind < 0.42 ? upsert($state, $relation, $name)
      : $kind < 0.5  ? update($state, $relation, "name LIKE '$prefix-_'")
      : $kind < 0.6  ? remove($relation, $name)
      : $kind < 0.68 ? remove($relation, $name) . upsert($state, $relation, $name)
      : $kind < 0.76 ? "UPDATE net.$relation SET name = '$other' WHERE name = '$name' AND NOT EXISTS (SELECT FROM net.$relation WHERE name = '$other');"
      : $kind < 0.84 ? upsert($state, $relation, $name) . 'SAVEPOINT s;' . upsert($state, 'widgets', $other) . remove('configs', $other) . 'ROLLBACK TO s;' . update($state, 'configs', "name = '$prefix-0'")
      : $kind < 0.92 ? upsert($state, 'configs', $name) . upsert($state, 'widgets', $name) . remove('configs', $other)
      :                upsert($state, 'configs', 'hot-' . int rand 3) . update($state, 'widgets', q{name = 'hot-0'}) . (rand() < 0.2 ? upsert($state, 'widgets', 'hot-0') : '');
    return "BEGIN; $mark $body COMMIT;";
}

# --- somebody else at the API ---------------------------------------------------------------------------------------

# What may have been carried out is noted before it is asked for, what certainly was afterwards.
sub other {
    my ($self, $round) = @_;
    srand $self->{seed} * 1000 + $round * 10;
    my $api = $self->{api};
    for (my $count = 1; !$self->is_over; $count++) {
        my $kind = pick(qw(configmaps widgets));
        my $word = "other.$round.$count";
        my $name = pick("c1-", "c2-", "c3-") . (rand() < 0.4 ? 'v' . int rand 2 : int rand 6);
        $name = 'x-' . int rand 5 if rand() < 0.25;
        my $path = $self->path($kind, $name);
        my $found = $api->get($path, timeout => 5);
        # Who writes in the second in which an object is made might have made it: then its deletion waits for approval.
        my $is_old = $found->{status} == 200 && time - Time::Piece->strptime($found->{body}{metadata}{creationTimestamp}, '%Y-%m-%dT%H:%M:%SZ')->epoch > 2;
        my $uid = $is_old ? $found->{body}{metadata}{uid} : '';
        if ($found->{status} == 404 && $name =~ /^x/) {
            my $object = $kind eq 'widgets' ? { apiVersion => 'load.dbnet.io/v1', kind => 'Widget', spec => { token => $word } } : { data => { token => $word } };
            $api->create($self->path($kind), { %$object, metadata => { name => $name, labels => { $part => 'configs' } } }, timeout => 5);
        } elsif ($uid ne '' && $name =~ /[vx]/ && rand() < 0.2) {
            $self->note('other_removes', $kind, $name, $uid);
            $api->delete($path, body => { apiVersion => 'v1', kind => 'DeleteOptions', preconditions => { uid => $uid } }, timeout => 5);
        } elsif ($uid ne '' && $name =~ /[vx]/ && rand() < 0.3) {
            $api->patch($path, $kind eq 'widgets' ? { spec => { token => $word } } : { data => { token => $word } }, timeout => 5);
        } elsif ($uid ne '' && $kind eq 'widgets' && rand() < 0.6) {
            my $answer = rand() < 0.5 ? $api->patch("$path/status", { status => { state => $word } }, timeout => 5) : $api->patch($path, { spec => { note => $word } }, timeout => 5);
        } elsif ($uid ne '') {
            my $answer = $api->patch($path, { metadata => { annotations => { $mark => $word } } }, timeout => 5);
            $self->note('marks', $kind, $name, $answer->{body}{metadata}{uid}, $word) if $answer->{status} == 200;
        }
        sleep 0.02 + rand 0.08;
    }
    return;
}

# --- the witness ----------------------------------------------------------------------------------------------------

# Every version of every object of a kind that a list or watch shows: file seen_KIND with name, uid and token.
sub witness {
    my ($self, $kind) = @_;
    my $api = $self->{api};
    my $see = sub {
        my ($type, $object) = @_;
        my $token = ($kind eq 'widgets' ? $object->{spec}{token} : $object->{data}{token}) // return;
        $self->note("seen_$kind", $type, $object->{metadata}{name}, $object->{metadata}{uid}, $token);
    };
    while (getppid() == $self->{parent}) {
        my $list = $api->get($self->path($kind), timeout => 5);
        if ($list->{status} != 200) {
            sleep 0.1;
            next;
        }
        $see->('LISTED', $_) for @{ $list->{body}{items} };
        my $from = $list->{body}{metadata}{resourceVersion};
        open my $watch, '-|', DBNet::Process::command_tied_to_us('curl', '-sSNg', '--http1.1', '--noproxy', '*', @{ $api->{credentials} },
            $api->url . $self->path($kind) . "?watch=1&resourceVersion=$from") or die "curl: $!";
        while (my $line = <$watch>) {
            my $event = eval { $json->decode($line) } // last;
            last if $event->{type} eq 'ERROR';
            $see->(@{$event}{qw(type object)});
        }
        close $watch;
    }
    return;
}

# --- what is there ---------------------------------------------------------------------------------------------------

# The objects of a relation by name, as the API lists them now.
sub objects {
    my ($self, $relation) = @_;
    my $api = $self->{api};
    my $list = $api->expect_success($api->get($self->path($relation), query => { $relation eq 'widgets' ? () : (labelSelector => "$part=$relation") }));
    return { map { $_->{metadata}{name} => $_ } @{ $list->{items} } };
}

sub token_of { my ($object) = @_; return $object->{spec}{token} // $object->{data}{token} }
sub mark_of  { my ($object) = @_; return $object->{metadata}{annotations}{$mark} // '' }
sub relations { return @relations }

1;
