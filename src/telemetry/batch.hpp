// What one or several OTLP requests say, decoded: flat lists of records that refer to each other by index and to text
// in the request bodies and the batch's own memory. Filled by the decoders (pure C++), written to tables by the table
// writer. Names as in the OTLP protos. Any process that takes telemetry.
//
// Memory: records and `arena` live until clear(), which keeps what is allocated for the next batch, unless it is
// much. Text is a view into a request's body (the caller keeps it until the batch is written) or into the arena. It is
// valid UTF-8 without U+0000.
#pragma once

#include "telemetry/arena.hpp"
#include "telemetry/hash_index.hpp"
#include "telemetry/otlp/text.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace dbnet::telemetry {

enum class Signal : uint8_t { traces, metrics, logs };
enum class Encoding : uint8_t { protobuf, json };

using TraceId = std::array<uint8_t, 16>; // all zero: none
using SpanId = std::array<uint8_t, 8>;

// A jsonb value as PostgreSQL stores it: varlena header (4 bytes, uncompressed) and root container, aligned to 8 bytes,
// in the arena. nullptr: SQL NULL.
using Jsonb = const char *;

// What a bearer token says of everything that is sent with it, whatever the sender says.
struct PinnedAttribute {
    std::string name;
    std::variant<std::string, int64_t, double, bool> value;

    bool operator==(const PinnedAttribute &) const = default;
};

// Who sent a request; known to whoever takes it in. A row of otel.batch.
struct Sender {
    std::string client;                                 // address, or the name of the session's role
    std::string token;                                  // name of the bearer token, empty: none
    std::string user_agent;                             // empty: none
    std::vector<PinnedAttribute> resource_attributes{}; // of the token
};

struct Request {
    Sender sender;
    Signal signal;
    uint32_t items; // spans, data points or log records that were taken
    int64_t rejected;
};

struct Resource {
    Hash hash;
    std::string_view service_name, service_namespace, service_instance_id; // of the attributes; empty: absent
    std::string_view node;                                                 // k8s.node.name, else host.name
    std::string_view pod;                                                  // k8s.pod.name
    Jsonb attributes;
    Jsonb entity_refs; // nullptr: none
    std::string_view schema_url;
    uint32_t dropped_attributes_count;
};

struct Scope {
    Hash hash;
    std::string_view name, version, schema_url;
    Jsonb attributes;
    uint32_t dropped_attributes_count;
};

// Times are nanoseconds since 1970 as sent.
struct Span {
    TraceId trace_id;
    SpanId span_id, parent_span_id;
    std::string_view trace_state, name, status_message;
    uint64_t start_time_unix_nano, end_time_unix_nano;
    Jsonb attributes;
    uint32_t resource, scope, request; // indexes
    uint32_t flags;
    uint32_t dropped_attributes_count, dropped_events_count, dropped_links_count;
    int16_t kind, status_code; // as sent, unknown numbers kept
};

struct SpanEvent {
    uint64_t time_unix_nano;
    std::string_view name;
    Jsonb attributes;
    uint32_t span;    // index
    uint32_t ordinal; // in its span, from 0
    uint32_t dropped_attributes_count;
};

struct SpanLink {
    TraceId linked_trace_id;
    SpanId linked_span_id;
    std::string_view trace_state;
    Jsonb attributes;
    uint32_t span, ordinal;
    uint32_t dropped_attributes_count;
    uint32_t flags;
};

enum class MetricType : int16_t { gauge = 1, sum, histogram, exponential_histogram, summary };

struct Metric {
    Hash hash; // includes resource and scope
    std::string_view name, description, unit;
    Jsonb metadata; // nullptr: none
    uint32_t resource, scope;
    MetricType type;
    int16_t aggregation_temporality; // 0 where the type has none
    bool is_monotonic;
};

// A metric with one set of attributes.
struct Series {
    Hash hash; // includes the metric's
    Jsonb attributes;
    uint32_t metric;
};

// What points of all types have in common.
struct Point {
    uint64_t time_unix_nano, start_time_unix_nano;
    Jsonb exemplars; // array of objects, nullptr: none
    uint32_t series, request;
    uint32_t flags;
};

struct NumberPoint : Point {
    enum class Value : uint8_t { none, floating, integer } which; // none: as sent, or flag NO_RECORDED_VALUE
    double floating;
    int64_t integer;
};

template<class T> struct List { // in the arena
    const T *data = nullptr;
    uint32_t count = 0;
};

// Optional doubles are NaN with `has_…` false.
struct HistogramPoint : Point {
    uint64_t count;
    double sum, min, max;
    bool has_sum, has_min, has_max;
    List<uint64_t> bucket_counts;
    List<double> explicit_bounds;
};

struct ExponentialHistogramPoint : Point {
    uint64_t count, zero_count;
    double sum, min, max, zero_threshold;
    bool has_sum, has_min, has_max;
    int32_t scale, positive_offset, negative_offset;
    List<uint64_t> positive_counts, negative_counts;
};

struct SummaryPoint : Point {
    uint64_t count;
    double sum;
    List<double> quantiles, quantile_values; // of equal length
};

struct LogRecord {
    TraceId trace_id;
    SpanId span_id;
    uint64_t time_unix_nano, observed_time_unix_nano; // 0: not sent
    std::string_view severity_text, event_name;
    Jsonb body; // nullptr: none
    Jsonb attributes;
    uint32_t resource, scope, request;
    uint32_t flags, dropped_attributes_count;
    int16_t severity_number;
};

struct Batch {
    Arena arena;
    TextEncoder encode = nullptr; // texts are kept in the database's encoding; nullptr: in UTF-8, as they come
    std::vector<Request> requests;
    std::vector<Resource> resources; // each distinct one once
    std::vector<Scope> scopes;
    std::vector<Span> spans;
    std::vector<SpanEvent> span_events;
    std::vector<SpanLink> span_links;
    std::vector<Metric> metrics;
    std::vector<Series> series;
    std::vector<NumberPoint> number_points;
    std::vector<HistogramPoint> histogram_points;
    std::vector<ExponentialHistogramPoint> exponential_histogram_points;
    std::vector<SummaryPoint> summary_points;
    std::vector<LogRecord> log_records;

    void clear() noexcept;
    // Items and what they consist of, resources and scopes. Metrics and series are never more than points.
    size_t records() const noexcept;
    // Bytes held, roughly: also after clear().
    size_t footprint() const noexcept;

    // What came after the mark is forgotten: of a request that turns out to be unreadable, of a resource or scope that
    // cannot be kept.
    struct Mark {
        Arena::Mark arena;
        size_t requests, resources, scopes, spans, span_events, span_links, metrics, series, number_points,
            histogram_points, exponential_histogram_points, summary_points, log_records;
    };
    Mark mark() const noexcept;
    void rewind(const Mark &mark);

    // Of the decoders: where each distinct one is, and which bytes the last ones were decoded from (views into a body).
    struct LastDecoded {
        std::string_view bytes, schema_url;
        uint32_t index = none;
        static constexpr uint32_t none = UINT32_MAX;
    };
    HashIndex resource_index, scope_index, metric_index, series_index;
    LastDecoded last_resource, last_scope;
};

} // namespace dbnet::telemetry
