-- Tables of telemetry, named and structured as the OTLP protos. Written by the library (src/telemetry/tables/table_writer.hpp), straight into heap and indexes; read by
-- whoever was granted it.
--
-- Times are exact to the nanosecond in ..._unix_nano; what is beyond 2^63 - 1 (the year 2262), and counts beyond, stand as that number.
--
-- What grows with the telemetry is partitioned by range of bucket_time: the event's time, or one within the time that is kept when the event's own lies outside.
-- There is no default partition. Partitions are made ahead by the mirror worker and by the writer that misses one, apart from their table, and then attached: neither
-- reading nor writing waits for that. Those that dbnet.telemetry_retention no longer keeps are dropped. See 22_telemetry_partitions.sql, also on why they belong to
-- the extension: DROP EXTENSION takes them along, pg_dump leaves telemetry out.
--
-- No primary keys and no constraints that would be checked per row: OTLP allows duplicates, and one bad item must not cost its batch.

-- Who and what: few rows, each written once -------------------------------------------------------------------------------
-- Found by a hash of all that makes two of them the same. last_seen moves once an hour at most; what was not seen for longer than the retention goes.

CREATE TABLE otel.resources (
    resource_id              integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    hash                     uuid        NOT NULL UNIQUE,
    service_name             text,
    service_namespace        text,
    service_instance_id      text,
    node                     text,
    pod                      text,
    attributes               jsonb       NOT NULL,
    dropped_attributes_count integer     NOT NULL,
    schema_url               text,
    entity_refs              jsonb,
    first_seen               timestamptz NOT NULL DEFAULT pg_catalog.now(),
    last_seen                timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 80);
COMMENT ON TABLE otel.resources IS 'Who sends telemetry: an instance of a service, a host, a cluster''s component; each once';
COMMENT ON COLUMN otel.resources.resource_id IS 'what spans, metrics and logs hold';
COMMENT ON COLUMN otel.resources.hash IS '128 bits over all that makes two resources the same';
COMMENT ON COLUMN otel.resources.service_name IS 'attribute service.name; NULL = absent';
COMMENT ON COLUMN otel.resources.service_namespace IS 'attribute service.namespace';
COMMENT ON COLUMN otel.resources.service_instance_id IS 'attribute service.instance.id';
COMMENT ON COLUMN otel.resources.node IS 'attribute k8s.node.name, else host.name';
COMMENT ON COLUMN otel.resources.pod IS 'attribute k8s.pod.name';
COMMENT ON COLUMN otel.resources.attributes IS 'all of its attributes';
COMMENT ON COLUMN otel.resources.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.resources.schema_url IS 'schema of its attributes';
COMMENT ON COLUMN otel.resources.entity_refs IS 'entities that it is made of, as sent';
COMMENT ON COLUMN otel.resources.first_seen IS 'when it was written';
COMMENT ON COLUMN otel.resources.last_seen IS 'when telemetry of it last arrived, to about an hour';

CREATE TABLE otel.scopes (
    scope_id                 integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    hash                     uuid        NOT NULL UNIQUE,
    name                     text        NOT NULL,
    version                  text,
    attributes               jsonb       NOT NULL,
    dropped_attributes_count integer     NOT NULL,
    schema_url               text,
    last_seen                timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 80);
COMMENT ON TABLE otel.scopes IS 'Instrumentation scopes: which library made the telemetry; each once';
COMMENT ON COLUMN otel.scopes.scope_id IS 'what spans, metrics and logs hold';
COMMENT ON COLUMN otel.scopes.hash IS '128 bits over all that makes two scopes the same';
COMMENT ON COLUMN otel.scopes.name IS 'name of the library';
COMMENT ON COLUMN otel.scopes.version IS 'its version';
COMMENT ON COLUMN otel.scopes.attributes IS 'its attributes';
COMMENT ON COLUMN otel.scopes.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.scopes.schema_url IS 'schema of what was sent in this scope';
COMMENT ON COLUMN otel.scopes.last_seen IS 'when telemetry of it last arrived, to about an hour';

CREATE TABLE otel.metrics (
    metric_id               integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    hash                    uuid        NOT NULL UNIQUE,
    name                    text        NOT NULL,
    description             text,
    unit                    text,
    type                    smallint    NOT NULL,
    aggregation_temporality smallint    NOT NULL,
    is_monotonic            boolean     NOT NULL,
    metadata                jsonb,
    resource_id             integer     NOT NULL,
    scope_id                integer     NOT NULL,
    last_seen               timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 80);
CREATE INDEX metrics_name ON otel.metrics (name);
COMMENT ON INDEX otel.metrics_name IS 'A metric by name';
COMMENT ON TABLE otel.metrics IS 'Metrics: what a resource measures; each once';
COMMENT ON COLUMN otel.metrics.metric_id IS 'what series hold';
COMMENT ON COLUMN otel.metrics.hash IS '128 bits over all that makes two metrics the same, with resource and scope';
COMMENT ON COLUMN otel.metrics.name IS 'its name';
COMMENT ON COLUMN otel.metrics.description IS 'what it is';
COMMENT ON COLUMN otel.metrics.unit IS 'unit of its values, in UCUM';
COMMENT ON COLUMN otel.metrics.type IS '1 gauge, 2 sum (both in number_points), 3 histogram, 4 exponential histogram, 5 summary';
COMMENT ON COLUMN otel.metrics.aggregation_temporality IS '0 none, 1 delta (since the point before), 2 cumulative (since start_time_unix_nano)';
COMMENT ON COLUMN otel.metrics.is_monotonic IS 'sum: never decreases but for a restart';
COMMENT ON COLUMN otel.metrics.metadata IS 'further attributes of the metric';
COMMENT ON COLUMN otel.metrics.resource_id IS 'resources.resource_id of who measures';
COMMENT ON COLUMN otel.metrics.scope_id IS 'scopes.scope_id of the library that measures';
COMMENT ON COLUMN otel.metrics.last_seen IS 'when a point of it last arrived, to about an hour';

CREATE TABLE otel.series (
    series_id  bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    hash       uuid        NOT NULL UNIQUE,
    metric_id  integer     NOT NULL,
    attributes jsonb       NOT NULL,
    last_seen  timestamptz NOT NULL DEFAULT pg_catalog.now()
) WITH (fillfactor = 80);
CREATE INDEX series_metric ON otel.series (metric_id);
COMMENT ON INDEX otel.series_metric IS 'The series of a metric';
COMMENT ON TABLE otel.series IS 'Series of points: a metric with one set of attributes; each once';
COMMENT ON COLUMN otel.series.series_id IS 'what points hold';
COMMENT ON COLUMN otel.series.hash IS '128 bits over metric and attributes';
COMMENT ON COLUMN otel.series.metric_id IS 'metrics.metric_id';
COMMENT ON COLUMN otel.series.attributes IS 'the attributes that all its points have';
COMMENT ON COLUMN otel.series.last_seen IS 'when a point of it last arrived, to about an hour';

-- Requests ---------------------------------------------------------------------------------------------------------------

CREATE SEQUENCE otel.batch_id CACHE 32;
COMMENT ON SEQUENCE otel.batch_id IS 'Numbers of requests';

CREATE TABLE otel.batch (
    bucket_time timestamptz NOT NULL,
    batch_id    bigint      NOT NULL,
    received_at timestamptz NOT NULL,
    signal      text        NOT NULL,
    client      text        NOT NULL,
    token       text,
    user_agent  text,
    items       integer     NOT NULL,
    rejected    bigint      NOT NULL
) PARTITION BY RANGE (bucket_time);
CREATE INDEX batch_batch_id ON otel.batch (batch_id);
COMMENT ON INDEX otel.batch_batch_id IS 'Who sent a span, point or log record';
COMMENT ON TABLE otel.batch IS 'Requests that brought telemetry, and who sent them';
COMMENT ON COLUMN otel.batch.bucket_time IS 'as received_at: what partitions go by';
COMMENT ON COLUMN otel.batch.batch_id IS 'what spans, points and log records hold';
COMMENT ON COLUMN otel.batch.received_at IS 'start of the transaction that wrote it';
COMMENT ON COLUMN otel.batch.signal IS 'traces, metrics or logs';
COMMENT ON COLUMN otel.batch.client IS 'address of the sender, or the role of the session';
COMMENT ON COLUMN otel.batch.token IS 'name of the bearer token; NULL = none';
COMMENT ON COLUMN otel.batch.user_agent IS 'what the sender calls itself; of a session its application_name';
COMMENT ON COLUMN otel.batch.items IS 'spans, points or log records that were taken';
COMMENT ON COLUMN otel.batch.rejected IS 'how many could not be taken';

-- Traces -----------------------------------------------------------------------------------------------------------------
-- Columns of fixed length first: they are found without a look at the others.

CREATE TABLE otel.spans (
    bucket_time              timestamptz   NOT NULL,
    trace_id                 otel.trace_id NOT NULL,
    span_id                  otel.span_id  NOT NULL,
    parent_span_id           otel.span_id,
    start_time               timestamptz   NOT NULL,
    start_time_unix_nano     bigint        NOT NULL,
    end_time_unix_nano       bigint        NOT NULL,
    duration_nano            bigint        NOT NULL,
    batch_id                 bigint        NOT NULL,
    flags                    bigint        NOT NULL,
    resource_id              integer       NOT NULL,
    scope_id                 integer       NOT NULL,
    dropped_attributes_count integer       NOT NULL,
    dropped_events_count     integer       NOT NULL,
    dropped_links_count      integer       NOT NULL,
    kind                     smallint      NOT NULL,
    status_code              smallint      NOT NULL,
    name                     text          NOT NULL,
    trace_state              text,
    status_message           text,
    attributes               jsonb         NOT NULL
) PARTITION BY RANGE (bucket_time);
-- A hash index makes a batch a fifth cheaper, but a trace of very many spans would be one long chain, walked by every insert.
CREATE INDEX spans_trace_id ON otel.spans (trace_id);
CREATE INDEX spans_time ON otel.spans USING brin (start_time, bucket_time) WITH (pages_per_range = 32);
CREATE INDEX spans_failed ON otel.spans (resource_id, bucket_time) WHERE status_code = 2;
COMMENT ON INDEX otel.spans_failed IS 'What failed of a resource: found however much else there is';
COMMENT ON INDEX otel.spans_trace_id IS 'The spans of a trace';
COMMENT ON INDEX otel.spans_time IS 'Spans of some time';
COMMENT ON TABLE otel.spans IS 'Spans as they were sent; with names instead of numbers in the view otel.span';
COMMENT ON COLUMN otel.spans.bucket_time IS 'when it ended; a time outside of what is kept, or in the future, stands as one day before its arrival (or half the retention, if that is less)';
COMMENT ON COLUMN otel.spans.trace_id IS 'trace that it belongs to';
COMMENT ON COLUMN otel.spans.span_id IS 'its id';
COMMENT ON COLUMN otel.spans.parent_span_id IS 'span within which it ran; NULL = a root';
COMMENT ON COLUMN otel.spans.start_time IS 'when it began, to the microsecond';
COMMENT ON COLUMN otel.spans.start_time_unix_nano IS 'when it began, nanoseconds since 1970, as sent';
COMMENT ON COLUMN otel.spans.end_time_unix_nano IS 'when it ended, nanoseconds since 1970, as sent';
COMMENT ON COLUMN otel.spans.duration_nano IS 'end minus start, nanoseconds; negative when it ended before it began';
COMMENT ON COLUMN otel.spans.batch_id IS 'batch.batch_id of the request that brought it';
COMMENT ON COLUMN otel.spans.flags IS 'flags, as sent (bits 0 to 7: W3C trace flags)';
COMMENT ON COLUMN otel.spans.resource_id IS 'resources.resource_id of who sent it';
COMMENT ON COLUMN otel.spans.scope_id IS 'scopes.scope_id of the library that made it';
COMMENT ON COLUMN otel.spans.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.spans.dropped_events_count IS 'how many events the sender left out';
COMMENT ON COLUMN otel.spans.dropped_links_count IS 'how many links the sender left out';
COMMENT ON COLUMN otel.spans.kind IS '0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer';
COMMENT ON COLUMN otel.spans.status_code IS '0 unset, 1 ok, 2 error';
COMMENT ON COLUMN otel.spans.name IS 'the operation';
COMMENT ON COLUMN otel.spans.trace_state IS 'W3C trace state; NULL = none';
COMMENT ON COLUMN otel.spans.status_message IS 'what the status is about; NULL = nothing was said';
COMMENT ON COLUMN otel.spans.attributes IS 'its attributes';

CREATE TABLE otel.span_events (
    bucket_time              timestamptz   NOT NULL,
    trace_id                 otel.trace_id NOT NULL,
    span_id                  otel.span_id  NOT NULL,
    time                     timestamptz   NOT NULL,
    time_unix_nano           bigint        NOT NULL,
    ordinal                  integer       NOT NULL,
    dropped_attributes_count integer       NOT NULL,
    name                     text          NOT NULL,
    attributes               jsonb         NOT NULL
) PARTITION BY RANGE (bucket_time);
CREATE INDEX span_events_trace_id ON otel.span_events (trace_id);
COMMENT ON INDEX otel.span_events_trace_id IS 'The events of a trace';
COMMENT ON TABLE otel.span_events IS 'What happened in the course of spans: exceptions, messages ...';
COMMENT ON COLUMN otel.span_events.bucket_time IS 'bucket_time of its span';
COMMENT ON COLUMN otel.span_events.trace_id IS 'trace of its span';
COMMENT ON COLUMN otel.span_events.span_id IS 'its span';
COMMENT ON COLUMN otel.span_events.time IS 'when, to the microsecond';
COMMENT ON COLUMN otel.span_events.time_unix_nano IS 'when, nanoseconds since 1970, as sent';
COMMENT ON COLUMN otel.span_events.ordinal IS 'place among the events of its span, from 0';
COMMENT ON COLUMN otel.span_events.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.span_events.name IS 'what happened';
COMMENT ON COLUMN otel.span_events.attributes IS 'its attributes';

CREATE TABLE otel.span_links (
    bucket_time              timestamptz   NOT NULL,
    trace_id                 otel.trace_id NOT NULL,
    span_id                  otel.span_id  NOT NULL,
    linked_trace_id          otel.trace_id NOT NULL,
    linked_span_id           otel.span_id  NOT NULL,
    flags                    bigint        NOT NULL,
    ordinal                  integer       NOT NULL,
    dropped_attributes_count integer       NOT NULL,
    trace_state              text,
    attributes               jsonb         NOT NULL
) PARTITION BY RANGE (bucket_time);
CREATE INDEX span_links_trace_id ON otel.span_links (trace_id);
CREATE INDEX span_links_linked_trace_id ON otel.span_links (linked_trace_id);
COMMENT ON INDEX otel.span_links_trace_id IS 'The links of a trace';
COMMENT ON INDEX otel.span_links_linked_trace_id IS 'What links to a trace';
COMMENT ON TABLE otel.span_links IS 'Other spans that spans refer to, such as the producers of what a consumer takes';
COMMENT ON COLUMN otel.span_links.bucket_time IS 'bucket_time of its span';
COMMENT ON COLUMN otel.span_links.trace_id IS 'trace of its span';
COMMENT ON COLUMN otel.span_links.span_id IS 'its span';
COMMENT ON COLUMN otel.span_links.linked_trace_id IS 'trace that it leads to';
COMMENT ON COLUMN otel.span_links.linked_span_id IS 'span that it leads to';
COMMENT ON COLUMN otel.span_links.flags IS 'flags, as sent';
COMMENT ON COLUMN otel.span_links.ordinal IS 'place among the links of its span, from 0';
COMMENT ON COLUMN otel.span_links.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.span_links.trace_state IS 'W3C trace state of the linked trace; NULL = none';
COMMENT ON COLUMN otel.span_links.attributes IS 'its attributes';

-- Metrics ----------------------------------------------------------------------------------------------------------------

CREATE TABLE otel.number_points (
    bucket_time          timestamptz NOT NULL,
    series_id            bigint      NOT NULL,
    time                 timestamptz NOT NULL,
    time_unix_nano       bigint      NOT NULL,
    start_time_unix_nano bigint      NOT NULL,
    value_double         double precision,
    value_int            bigint,
    batch_id             bigint      NOT NULL,
    flags                bigint      NOT NULL,
    exemplars            jsonb
) PARTITION BY RANGE (bucket_time);
COMMENT ON TABLE otel.number_points IS 'Points of gauges and sums';
COMMENT ON COLUMN otel.number_points.value_double IS 'value, if it was sent as a double';
COMMENT ON COLUMN otel.number_points.value_int IS 'value, if it was sent as an integer; both NULL = none was sent (flags 1: nothing was measured)';

CREATE TABLE otel.histogram_points (
    bucket_time          timestamptz NOT NULL,
    series_id            bigint      NOT NULL,
    time                 timestamptz NOT NULL,
    time_unix_nano       bigint      NOT NULL,
    start_time_unix_nano bigint      NOT NULL,
    count                bigint      NOT NULL,
    sum                  double precision,
    min                  double precision,
    max                  double precision,
    batch_id             bigint      NOT NULL,
    flags                bigint      NOT NULL,
    bucket_counts        bigint[]    NOT NULL,
    explicit_bounds      double precision[] NOT NULL,
    exemplars            jsonb
) PARTITION BY RANGE (bucket_time);
COMMENT ON TABLE otel.histogram_points IS 'Points of histograms with explicit bounds';
COMMENT ON COLUMN otel.histogram_points.count IS 'how many values';
COMMENT ON COLUMN otel.histogram_points.sum IS 'their sum; NULL = not sent';
COMMENT ON COLUMN otel.histogram_points.min IS 'the least; NULL = not sent';
COMMENT ON COLUMN otel.histogram_points.max IS 'the greatest; NULL = not sent';
COMMENT ON COLUMN otel.histogram_points.bucket_counts IS 'how many in each bucket: one more than bounds, or none';
COMMENT ON COLUMN otel.histogram_points.explicit_bounds IS 'upper bounds of the buckets, inclusive; the last bucket has none';

CREATE TABLE otel.exponential_histogram_points (
    bucket_time          timestamptz NOT NULL,
    series_id            bigint      NOT NULL,
    time                 timestamptz NOT NULL,
    time_unix_nano       bigint      NOT NULL,
    start_time_unix_nano bigint      NOT NULL,
    count                bigint      NOT NULL,
    sum                  double precision,
    min                  double precision,
    max                  double precision,
    zero_count           bigint      NOT NULL,
    zero_threshold       double precision NOT NULL,
    batch_id             bigint      NOT NULL,
    flags                bigint      NOT NULL,
    scale                integer     NOT NULL,
    positive_offset      integer     NOT NULL,
    negative_offset      integer     NOT NULL,
    positive_counts      bigint[]    NOT NULL,
    negative_counts      bigint[]    NOT NULL,
    exemplars            jsonb
) PARTITION BY RANGE (bucket_time);
COMMENT ON TABLE otel.exponential_histogram_points IS 'Points of exponential histograms';
COMMENT ON COLUMN otel.exponential_histogram_points.count IS 'how many values';
COMMENT ON COLUMN otel.exponential_histogram_points.sum IS 'their sum; NULL = not sent';
COMMENT ON COLUMN otel.exponential_histogram_points.min IS 'the least; NULL = not sent';
COMMENT ON COLUMN otel.exponential_histogram_points.max IS 'the greatest; NULL = not sent';
COMMENT ON COLUMN otel.exponential_histogram_points.zero_count IS 'how many are zero, or as near as zero_threshold';
COMMENT ON COLUMN otel.exponential_histogram_points.zero_threshold IS 'what counts as zero';
COMMENT ON COLUMN otel.exponential_histogram_points.scale IS 'buckets are bounded by powers of 2^(2^-scale)';
COMMENT ON COLUMN otel.exponential_histogram_points.positive_offset IS 'power of the lower bound of the first of positive_counts';
COMMENT ON COLUMN otel.exponential_histogram_points.negative_offset IS 'power of the lower bound, in magnitude, of the first of negative_counts';
COMMENT ON COLUMN otel.exponential_histogram_points.positive_counts IS 'how many positive values in each bucket';
COMMENT ON COLUMN otel.exponential_histogram_points.negative_counts IS 'how many negative values in each bucket';

CREATE TABLE otel.summary_points (
    bucket_time          timestamptz NOT NULL,
    series_id            bigint      NOT NULL,
    time                 timestamptz NOT NULL,
    time_unix_nano       bigint      NOT NULL,
    start_time_unix_nano bigint      NOT NULL,
    count                bigint      NOT NULL,
    sum                  double precision NOT NULL,
    batch_id             bigint      NOT NULL,
    flags                bigint      NOT NULL,
    quantiles            double precision[] NOT NULL,
    quantile_values      double precision[] NOT NULL
) PARTITION BY RANGE (bucket_time);
COMMENT ON TABLE otel.summary_points IS 'Points of summaries: quantiles that the sender has calculated';
COMMENT ON COLUMN otel.summary_points.count IS 'how many values';
COMMENT ON COLUMN otel.summary_points.sum IS 'their sum';
COMMENT ON COLUMN otel.summary_points.quantiles IS 'which quantiles, from 0 to 1';
COMMENT ON COLUMN otel.summary_points.quantile_values IS 'their values, in the same order';

-- What all points have in common.
DO $$
DECLARE
    points text;
BEGIN
    FOREACH points IN ARRAY ARRAY['number_points', 'histogram_points', 'exponential_histogram_points', 'summary_points'] LOOP
        EXECUTE pg_catalog.format('CREATE INDEX %1$s_series ON otel.%1$I (series_id, time)', points);
        EXECUTE pg_catalog.format('COMMENT ON INDEX otel.%1$s_series IS ''The points of a series, of some time''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.bucket_time IS ''its time; one outside of what is kept, or in the future, stands as one day before its arrival (or half the retention, if that is less)''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.series_id IS ''series.series_id: metric and attributes''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.time IS ''when it was measured, to the microsecond''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.time_unix_nano IS ''when it was measured, nanoseconds since 1970, as sent''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.start_time_unix_nano IS ''since when it counts, nanoseconds since 1970, as sent; 0 = not said''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.batch_id IS ''batch.batch_id of the request that brought it''', points);
        EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.flags IS ''bit 0: nothing was measured, the series has a gap''', points);
        IF points <> 'summary_points' THEN
            EXECUTE pg_catalog.format('COMMENT ON COLUMN otel.%I.exemplars IS ''single measurements with the trace that they are of, as sent; NULL = none''', points);
        END IF;
    END LOOP;
END
$$;

-- Logs -------------------------------------------------------------------------------------------------------------------

CREATE TABLE otel.logs (
    bucket_time              timestamptz NOT NULL,
    time                     timestamptz NOT NULL,
    time_unix_nano           bigint      NOT NULL,
    observed_time_unix_nano  bigint      NOT NULL,
    span_id                  otel.span_id,
    batch_id                 bigint      NOT NULL,
    flags                    bigint      NOT NULL,
    resource_id              integer     NOT NULL,
    scope_id                 integer     NOT NULL,
    dropped_attributes_count integer     NOT NULL,
    severity_number          smallint    NOT NULL,
    trace_id                 otel.trace_id,
    severity_text            text,
    event_name               text,
    body                     jsonb,
    attributes               jsonb       NOT NULL
) PARTITION BY RANGE (bucket_time);
CREATE INDEX logs_trace_id ON otel.logs (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_time ON otel.logs USING brin (time, bucket_time) WITH (pages_per_range = 32);
COMMENT ON INDEX otel.logs_trace_id IS 'The log records of a trace';
COMMENT ON INDEX otel.logs_time IS 'Log records of some time';
COMMENT ON TABLE otel.logs IS 'Log records as they were sent; with names instead of numbers in the view otel.log';
COMMENT ON COLUMN otel.logs.bucket_time IS 'its time; one outside of what is kept, or in the future, stands as one day before its arrival (or half the retention, if that is less)';
COMMENT ON COLUMN otel.logs.time IS 'when it happened, else when it was observed, else when it arrived, to the microsecond';
COMMENT ON COLUMN otel.logs.time_unix_nano IS 'when it happened, nanoseconds since 1970, as sent; 0 = not said';
COMMENT ON COLUMN otel.logs.observed_time_unix_nano IS 'when it was observed, nanoseconds since 1970, as sent; 0 = not said';
COMMENT ON COLUMN otel.logs.span_id IS 'span in which it was written; NULL = none';
COMMENT ON COLUMN otel.logs.batch_id IS 'batch.batch_id of the request that brought it';
COMMENT ON COLUMN otel.logs.flags IS 'W3C trace flags, as sent';
COMMENT ON COLUMN otel.logs.resource_id IS 'resources.resource_id of who wrote it';
COMMENT ON COLUMN otel.logs.scope_id IS 'scopes.scope_id of the logger';
COMMENT ON COLUMN otel.logs.dropped_attributes_count IS 'how many attributes the sender left out';
COMMENT ON COLUMN otel.logs.severity_number IS '1 to 4 trace, 5 to 8 debug, 9 to 12 info, 13 to 16 warn, 17 to 20 error, 21 to 24 fatal; 0 = not said';
COMMENT ON COLUMN otel.logs.trace_id IS 'trace in which it was written; NULL = none';
COMMENT ON COLUMN otel.logs.severity_text IS 'the severity in the words of the source';
COMMENT ON COLUMN otel.logs.event_name IS 'kind of event; NULL = not said';
COMMENT ON COLUMN otel.logs.body IS 'what it says, most often a string: body #>> ''{}''';
COMMENT ON COLUMN otel.logs.attributes IS 'its attributes';

-- Panes: what is counted of each second -----------------------------------------------------------------------------------
-- Written with the rows that they count, in one transaction: the counts of rule 0 always are those of the rows. Each process that writes has rows of its own, so that
-- none waits for another: readers add them up.

CREATE TABLE otel.span_pane (
    bucket       timestamptz NOT NULL,
    count        bigint      NOT NULL,
    error_count  bigint      NOT NULL,
    duration_sum double precision NOT NULL,
    duration_min bigint      NOT NULL,
    duration_max bigint      NOT NULL,
    rule         integer     NOT NULL,
    resource_id  integer     NOT NULL,
    kind         smallint    NOT NULL,
    worker       smallint    NOT NULL,
    grouping     jsonb       NOT NULL,
    durations    otel.sketch NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX span_pane_key ON otel.span_pane (bucket, resource_id, rule, kind, worker);
COMMENT ON INDEX otel.span_pane_key IS 'A pane to add to; panes of some time';
COMMENT ON TABLE otel.span_pane IS 'Spans that ended in a second, counted per resource and kind, and per rule of otel.pane_rule. Several rows may say the same second, of processes that wrote at once: add them up';
COMMENT ON COLUMN otel.span_pane.bucket IS 'the second in which spans.bucket_time lies';
COMMENT ON COLUMN otel.span_pane.count IS 'how many spans';
COMMENT ON COLUMN otel.span_pane.error_count IS 'how many of them with status_code 2';
COMMENT ON COLUMN otel.span_pane.duration_sum IS 'sum of their durations, nanoseconds';
COMMENT ON COLUMN otel.span_pane.duration_min IS 'the least duration, nanoseconds';
COMMENT ON COLUMN otel.span_pane.duration_max IS 'the greatest duration, nanoseconds';
COMMENT ON COLUMN otel.span_pane.rule IS '0: every span; else pane_rule.rule';
COMMENT ON COLUMN otel.span_pane.resource_id IS 'resources.resource_id';
COMMENT ON COLUMN otel.span_pane.kind IS 'spans.kind';
COMMENT ON COLUMN otel.span_pane.worker IS 'number of the process that wrote';
COMMENT ON COLUMN otel.span_pane.grouping IS 'values of the attributes that the rule groups by, by name; rule 0: {}';
COMMENT ON COLUMN otel.span_pane.durations IS 'sketch of the durations, nanoseconds: otel.quantile(otel.merge(durations), 0.95)';

CREATE TABLE otel.log_pane (
    bucket          timestamptz NOT NULL,
    count           bigint      NOT NULL,
    rule            integer     NOT NULL,
    resource_id     integer     NOT NULL,
    severity_number smallint    NOT NULL,
    worker          smallint    NOT NULL,
    grouping        jsonb       NOT NULL
) PARTITION BY RANGE (bucket);
CREATE INDEX log_pane_key ON otel.log_pane (bucket, resource_id, rule, severity_number, worker);
COMMENT ON INDEX otel.log_pane_key IS 'A pane to add to; panes of some time';
COMMENT ON TABLE otel.log_pane IS 'Log records of a second, counted per resource and severity, and per rule of otel.pane_rule. Several rows may say the same second: add them up';
COMMENT ON COLUMN otel.log_pane.bucket IS 'the second in which logs.bucket_time lies';
COMMENT ON COLUMN otel.log_pane.count IS 'how many log records';
COMMENT ON COLUMN otel.log_pane.rule IS '0: every record; else pane_rule.rule';
COMMENT ON COLUMN otel.log_pane.resource_id IS 'resources.resource_id';
COMMENT ON COLUMN otel.log_pane.severity_number IS 'logs.severity_number';
COMMENT ON COLUMN otel.log_pane.worker IS 'number of the process that wrote';
COMMENT ON COLUMN otel.log_pane.grouping IS 'values of the attributes that the rule groups by, by name; rule 0: {}';

CREATE TABLE otel.pane_rule (
    rule     integer PRIMARY KEY CHECK (rule > 0),
    signal   text    NOT NULL CHECK (signal IN ('traces', 'logs')),
    match    jsonb   NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(match) = 'object'),
    group_by text[]  NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE otel.pane_rule IS 'What panes are kept of beside rule 0: spans or log records of some kind, grouped by their attributes. Counts from when the rule was committed';
COMMENT ON COLUMN otel.pane_rule.rule IS 'number, not 0: that of the policy that reads them';
COMMENT ON COLUMN otel.pane_rule.signal IS 'traces or logs';
COMMENT ON COLUMN otel.pane_rule.match IS 'what is counted: attributes (of the span or record, else of its resource) that have these values; name, kind, status_code, severity_number and service_name stand for the columns. {} = all';
COMMENT ON COLUMN otel.pane_rule.group_by IS 'names, as in match, whose values make the grouping; one that is absent is null there';

CREATE TABLE otel.batch_hook (
    procedure text NOT NULL,
    relation  text NOT NULL CHECK (relation IN ('spans', 'span_events', 'span_links', 'number_points', 'histogram_points', 'exponential_histogram_points', 'summary_points', 'logs')),
    owner     regrole NOT NULL,
    PRIMARY KEY (procedure, relation)
);
COMMENT ON TABLE otel.batch_hook IS 'Trigger functions that are called once per batch. Change it with otel.on_batch and otel.remove_on_batch';
COMMENT ON COLUMN otel.batch_hook.procedure IS 'function that returns trigger, as schema.name(); runs as its owner';
COMMENT ON COLUMN otel.batch_hook.relation IS 'table of schema otel whose new rows it reads';
COMMENT ON COLUMN otel.batch_hook.owner IS 'owner of the function when it was named: that of another owner is not called';

-- Every process that writes reads them anew after a change.
CREATE TRIGGER dbnet_configuration AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON otel.pane_rule FOR EACH STATEMENT EXECUTE FUNCTION dbnet.tracking_changed();
CREATE TRIGGER dbnet_configuration AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON otel.batch_hook FOR EACH STATEMENT EXECUTE FUNCTION dbnet.tracking_changed();

-- What a dump carries of telemetry: what users have said. Dimensions go with the rows that refer to them.
SELECT pg_catalog.pg_extension_config_dump('otel.pane_rule', '');
-- The number of a role that was dropped is another role's where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('otel.batch_hook', 'WHERE owner::oid IN (SELECT oid FROM pg_catalog.pg_roles)');
