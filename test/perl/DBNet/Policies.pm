# What tests of policies share: a role that owns them, an action that writes down what it was called with, telemetry.
#
#   my $policies = DBNet::Policies->new($node);
#   $policies->create(q{'errors', 'spans', aggregate => 'error_rate', threshold => 0.1, action => 'net.act(dbnet.policy_event)', mode => 'act'});
#   $policies->spans(node => 'n1', count => 100, errors => 50);
package DBNet::Policies;

use strict;
use warnings FATAL => 'all';

# Makes role policy_owner (a dbnet_admin), schema net, table net.done and procedure net.act.
sub new {
    my ($class, $node) = @_;
    my $self = bless { node => $node }, $class;
    $node->psql_ok(<<'SQL', 'a role that owns policies, and an action');
CREATE ROLE policy_owner LOGIN;
GRANT dbnet_admin TO policy_owner;
CREATE SCHEMA net AUTHORIZATION policy_owner;
-- Rows that a test writes into panes wake the worker as the writer of telemetry does.
CREATE TRIGGER wake AFTER INSERT OR UPDATE ON otel.span_pane FOR EACH STATEMENT EXECUTE FUNCTION dbnet.notify_policies();
SET ROLE policy_owner;
CREATE TABLE net.done (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, policy text, place text, value float8, count bigint, event bigint, who name DEFAULT current_user);
SELECT dbnet.track('net.done');
CREATE PROCEDURE net.act(event dbnet.policy_event) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO net.done (policy, place, value, count, event)
        VALUES (event.policy, (SELECT string_agg(value, '/' ORDER BY key) FROM jsonb_each_text(event.grouping)), event.value, event.count, event.id);
END
$$;
-- What policies on a query look at.
CREATE TABLE net.control (place text PRIMARY KEY, value float8, count bigint DEFAULT 100);
SQL
    return $self;
}

# Arguments of dbnet.create_policy() as text.
sub create {
    my ($self, $arguments, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return $self->{node}->psql_ok("SET ROLE policy_owner; SELECT dbnet.create_policy($arguments)", $name // "policy $arguments");
}

# Spans of now, as if an exporter had sent them: resource, batch, spans with one trace id, pane. Options: node, service, count, errors, trace,
# at (SQL, when they ended).
sub spans {
    my ($self, %options) = (@_);
    my ($node, $service, $count, $errors) = ($options{node}, $options{service} // 'checkout', $options{count} // 100, $options{errors} // 0);
    my $trace = $options{trace} // '5b8efff798038103d269b633813fc60c';
    my $at = $options{at} // 'now()';
    $self->{node}->safe_psql('postgres', <<"SQL");
INSERT INTO otel.resources (hash, service_name, node, attributes, dropped_attributes_count)
    SELECT md5('$service/$node')::uuid, '$service', '$node', '{}', 0 WHERE NOT EXISTS (SELECT FROM otel.resources WHERE hash = md5('$service/$node')::uuid);
WITH batch AS (
    INSERT INTO otel.batch (bucket_time, batch_id, received_at, signal, client, token, user_agent, items, rejected)
        VALUES (now(), nextval('otel.batch_id'), now(), 'traces', '10.1.2.3', 'edge', 'otel-js/1.9', $count, 0) RETURNING batch_id)
INSERT INTO otel.spans (bucket_time, trace_id, span_id, start_time, start_time_unix_nano, end_time_unix_nano, duration_nano, batch_id, flags, resource_id, scope_id,
        dropped_attributes_count, dropped_events_count, dropped_links_count, kind, status_code, name, attributes)
    SELECT $at, '$trace', lpad(to_hex(n), 16, '0')::otel.span_id, $at - interval '20 ms', 1, 20000001, 20000000, batch.batch_id, 1, r.resource_id, 1, 0, 0, 0, 2,
           CASE WHEN n <= $errors THEN 2 ELSE 0 END, 'POST /pay', '{}'
    FROM batch, otel.resources AS r, generate_series(1, $count) AS n WHERE r.hash = md5('$service/$node')::uuid;
INSERT INTO otel.span_pane (bucket, count, error_count, duration_sum, duration_min, duration_max, rule, resource_id, kind, worker, grouping, durations)
    SELECT date_trunc('second', $at), $count, $errors, $count * 2e7, 20000000, 20000000, 0, resource_id, 2, 1, '{}', otel.sketch(array_fill(2e7::float8, ARRAY[$count]))
    FROM otel.resources WHERE hash = md5('$service/$node')::uuid;
SQL
    return;
}

# Sets what policies on net.control see: place => [value, count].
sub control {
    my ($self, %places) = @_;
    $self->{node}->safe_psql('postgres', join '', map {
        my ($value, $count) = (@{ $places{$_} }, 100);
        "INSERT INTO net.control VALUES ('$_', $value, $count) ON CONFLICT (place) DO UPDATE SET value = excluded.value, count = excluded.count;"
    } sort keys %places);
    return;
}

1;
