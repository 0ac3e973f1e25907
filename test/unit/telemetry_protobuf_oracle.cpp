// The protobuf decoder beside libprotobuf: random requests that libprotobuf encodes are decoded and compared with the
// messages field by field, and what is answered is read by libprotobuf. The messages are declared here, as far as they
// are decoded, and parsed at run time: nothing is generated. Field numbers as in opentelemetry-proto.
#include "telemetry_support.hpp"

#include <google/protobuf/compiler/parser.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>

namespace dbnet::telemetry::test {
namespace {

namespace pb = google::protobuf;

constexpr const char *declarations = R"(
syntax = "proto3";
message ArrayValue { repeated AnyValue values = 1; }
message KeyValueList { repeated KeyValue values = 1; }
message AnyValue {
    oneof value {
        string string_value = 1;
        bool bool_value = 2;
        int64 int_value = 3;
        double double_value = 4;
        ArrayValue array_value = 5;
        KeyValueList kvlist_value = 6;
        bytes bytes_value = 7;
    }
}
message KeyValue { string key = 1; AnyValue value = 2; }
message EntityRef { string schema_url = 1; string type = 2; repeated string id_keys = 3; repeated string description_keys = 4; }
message Resource { repeated KeyValue attributes = 1; uint32 dropped_attributes_count = 2; repeated EntityRef entity_refs = 3; }
message Scope { string name = 1; string version = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }

message Event { fixed64 time_unix_nano = 1; string name = 2; repeated KeyValue attributes = 3; uint32 dropped_attributes_count = 4; }
message Link {
    bytes trace_id = 1;
    bytes span_id = 2;
    string trace_state = 3;
    repeated KeyValue attributes = 4;
    uint32 dropped_attributes_count = 5;
    fixed32 flags = 6;
}
message SpanStatus { string message = 2; int32 code = 3; }
message Span {
    bytes trace_id = 1;
    bytes span_id = 2;
    string trace_state = 3;
    bytes parent_span_id = 4;
    string name = 5;
    int32 kind = 6;
    fixed64 start_time_unix_nano = 7;
    fixed64 end_time_unix_nano = 8;
    repeated KeyValue attributes = 9;
    uint32 dropped_attributes_count = 10;
    repeated Event events = 11;
    uint32 dropped_events_count = 12;
    repeated Link links = 13;
    uint32 dropped_links_count = 14;
    SpanStatus status = 15;
    fixed32 flags = 16;
}
message ScopeSpans { Scope scope = 1; repeated Span items = 2; string schema_url = 3; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scopes = 2; string schema_url = 3; }
message Traces { repeated ResourceSpans resources = 1; }

message LogRecord {
    fixed64 time_unix_nano = 1;
    int32 severity_number = 2;
    string severity_text = 3;
    AnyValue body = 5;
    repeated KeyValue attributes = 6;
    uint32 dropped_attributes_count = 7;
    fixed32 flags = 8;
    bytes trace_id = 9;
    bytes span_id = 10;
    fixed64 observed_time_unix_nano = 11;
    string event_name = 12;
}
message ScopeLogs { Scope scope = 1; repeated LogRecord items = 2; string schema_url = 3; }
message ResourceLogs { Resource resource = 1; repeated ScopeLogs scopes = 2; string schema_url = 3; }
message Logs { repeated ResourceLogs resources = 1; }

message Exemplar {
    fixed64 time_unix_nano = 2;
    oneof value { double as_double = 3; sfixed64 as_int = 6; }
    bytes span_id = 4;
    bytes trace_id = 5;
    repeated KeyValue filtered_attributes = 7;
}
message NumberPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    oneof value { double as_double = 4; sfixed64 as_int = 6; }
    repeated Exemplar exemplars = 5;
    repeated KeyValue attributes = 7;
    uint32 flags = 8;
}
message HistogramPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    optional double sum = 5;
    repeated fixed64 bucket_counts = 6;
    repeated double explicit_bounds = 7;
    repeated Exemplar exemplars = 8;
    repeated KeyValue attributes = 9;
    uint32 flags = 10;
    optional double min = 11;
    optional double max = 12;
}
message Buckets { sint32 offset = 1; repeated uint64 bucket_counts = 2; }
message ExponentialHistogramPoint {
    repeated KeyValue attributes = 1;
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    optional double sum = 5;
    sint32 scale = 6;
    fixed64 zero_count = 7;
    Buckets positive = 8;
    Buckets negative = 9;
    uint32 flags = 10;
    repeated Exemplar exemplars = 11;
    optional double min = 12;
    optional double max = 13;
    double zero_threshold = 14;
}
message Quantile { double quantile = 1; double value = 2; }
message SummaryPoint {
    fixed64 start_time_unix_nano = 2;
    fixed64 time_unix_nano = 3;
    fixed64 count = 4;
    double sum = 5;
    repeated Quantile quantile_values = 6;
    repeated KeyValue attributes = 7;
    uint32 flags = 8;
}
message Gauge { repeated NumberPoint points = 1; }
message Sum { repeated NumberPoint points = 1; int32 aggregation_temporality = 2; bool is_monotonic = 3; }
message Histogram { repeated HistogramPoint points = 1; int32 aggregation_temporality = 2; }
message ExponentialHistogram { repeated ExponentialHistogramPoint points = 1; int32 aggregation_temporality = 2; }
message Summary { repeated SummaryPoint points = 1; }
message Metric {
    string name = 1;
    string description = 2;
    string unit = 3;
    oneof data {
        Gauge gauge = 5;
        Sum sum = 7;
        Histogram histogram = 9;
        ExponentialHistogram exponential_histogram = 10;
        Summary summary = 11;
    }
    repeated KeyValue metadata = 12;
}
message ScopeMetrics { Scope scope = 1; repeated Metric items = 2; string schema_url = 3; }
message ResourceMetrics { Resource resource = 1; repeated ScopeMetrics scopes = 2; string schema_url = 3; }
message Metrics { repeated ResourceMetrics resources = 1; }

message PartialSuccess { int64 rejected = 1; string error_message = 2; }
message Response { PartialSuccess partial_success = 1; }
message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
message Any { string type_url = 1; bytes value = 2; }
message BadRequest { repeated FieldViolation field_violations = 1; }
message FieldViolation { string field = 1; string description = 2; }
)";

class Schema {
public:
    Schema() {
        pb::io::ArrayInputStream input(declarations, int(std::strlen(declarations)));
        pb::io::Tokenizer tokenizer(&input, nullptr);
        pb::FileDescriptorProto file;
        pb::compiler::Parser parser;
        EXPECT_TRUE(parser.Parse(&tokenizer, &file));
        file.set_name("otlp.proto");
        EXPECT_NE(pool_.BuildFile(file), nullptr);
    }
    std::unique_ptr<pb::Message> make(const char *type) {
        return std::unique_ptr<pb::Message>(factory_.GetPrototype(pool_.FindMessageTypeByName(type))->New());
    }

private:
    pb::DescriptorPool pool_;
    pb::DynamicMessageFactory factory_{&pool_};
};

// A message whose fields are read by name.
struct Field {
    const pb::Message &message;
    const pb::Reflection &reflection = *message.GetReflection();

    const pb::FieldDescriptor *named(const char *name) const { return message.GetDescriptor()->FindFieldByName(name); }
    bool has(const char *name) const { return reflection.HasField(message, named(name)); }
    std::string text(const char *name) const { return reflection.GetString(message, named(name)); }
    uint64_t fixed64(const char *name) const { return reflection.GetUInt64(message, named(name)); }
    uint32_t uint32(const char *name) const { return reflection.GetUInt32(message, named(name)); }
    int32_t int32(const char *name) const { return reflection.GetInt32(message, named(name)); }
    int64_t int64(const char *name) const { return reflection.GetInt64(message, named(name)); }
    double floating(const char *name) const { return reflection.GetDouble(message, named(name)); }
    bool boolean(const char *name) const { return reflection.GetBool(message, named(name)); }
    Field part(const char *name) const { return {reflection.GetMessage(message, named(name))}; }
    int count(const char *name) const { return reflection.FieldSize(message, named(name)); }
    Field part(const char *name, int index) const {
        return {reflection.GetRepeatedMessage(message, named(name), index)};
    }
    std::vector<uint64_t> numbers(const char *name) const {
        const auto all = reflection.GetRepeatedFieldRef<uint64_t>(message, named(name));
        return {all.begin(), all.end()};
    }
    std::vector<std::string> texts(const char *name) const {
        const auto all = reflection.GetRepeatedFieldRef<std::string>(message, named(name));
        return {all.begin(), all.end()};
    }
    std::vector<double> floatings(const char *name) const {
        const auto all = reflection.GetRepeatedFieldRef<double>(message, named(name));
        return {all.begin(), all.end()};
    }
};

// --- Random messages: any field may be there, ids have their sizes, buckets fit their bounds ---

class Random {
public:
    explicit Random(uint32_t seed) : engine_(seed) {}

    void fill(pb::Message &message, unsigned depth = 0) {
        const pb::Reflection &reflection = *message.GetReflection();
        const pb::Descriptor &type = *message.GetDescriptor();
        for (int i = 0; i < type.field_count(); ++i) {
            const pb::FieldDescriptor *const field = type.field(i);
            const bool is_needed = type.name() == "Span" && (field->name() == "trace_id" || field->name() == "span_id");
            if (!is_needed && !chance(field->real_containing_oneof() == nullptr ? 80 : 40))
                continue; // of a oneof the last member wins
            if (depth > 9 && field->message_type() != nullptr)
                continue;
            for (unsigned left = field->is_repeated() ? below(4) : 1; left > 0; --left)
                set(message, reflection, *field, depth);
        }
        if (type.name() == "HistogramPoint")
            fit_buckets(message, reflection, type);
    }

private:
    unsigned below(unsigned limit) { return unsigned(engine_() % limit); }
    bool chance(unsigned percent) { return below(100) < percent; }
    // Of every length that a varint can have.
    uint64_t number() { return (uint64_t(engine_()) << 32 | engine_()) >> below(64); }
    double floating() { return (double(below(2'000'001)) - 1'000'000) + 0.5; } // as text the same everywhere

    std::string bytes(size_t size) {
        std::string all(size, '\0');
        for (char &byte : all)
            byte = char(below(256));
        return all;
    }
    std::string text() {
        static constexpr const char *characters[] = {"a", "b", "Z", "0", ".", "_", " ", "é", "日", "😀"};
        std::string all;
        for (unsigned left = below(12); left > 0; --left)
            all += characters[below(std::size(characters))];
        return all;
    }
    void set(pb::Message &message, const pb::Reflection &reflection, const pb::FieldDescriptor &field, unsigned depth) {
        const bool is_list = field.is_repeated();
        switch (field.cpp_type()) {
        case pb::FieldDescriptor::CPPTYPE_MESSAGE:
            return fill(
                *(is_list ? reflection.AddMessage(&message, &field) : reflection.MutableMessage(&message, &field)),
                depth + 1);
        case pb::FieldDescriptor::CPPTYPE_STRING: {
            std::string value = field.name() == "trace_id"          ? bytes(16)
                                : field.name().ends_with("span_id") ? bytes(8)
                                : field.type() == field.TYPE_BYTES  ? bytes(below(20))
                                                                    : text();
            if (field.containing_type()->name() == "Metric" && field.name() == "name")
                value += std::to_string(metrics_++); // no two are the same one
            return is_list ? reflection.AddString(&message, &field, value)
                           : reflection.SetString(&message, &field, value);
        }
        case pb::FieldDescriptor::CPPTYPE_UINT64:
            return is_list ? reflection.AddUInt64(&message, &field, number())
                           : reflection.SetUInt64(&message, &field, number());
        case pb::FieldDescriptor::CPPTYPE_DOUBLE:
            return is_list ? reflection.AddDouble(&message, &field, floating())
                           : reflection.SetDouble(&message, &field, floating());
        case pb::FieldDescriptor::CPPTYPE_UINT32:
            return reflection.SetUInt32(&message, &field, uint32_t(number()));
        case pb::FieldDescriptor::CPPTYPE_INT32: // enumerations fit into 16 bits
            return reflection.SetInt32(&message, &field, int16_t(number()));
        case pb::FieldDescriptor::CPPTYPE_INT64:
            return reflection.SetInt64(&message, &field, int64_t(number()) * (chance(50) ? 1 : -1));
        case pb::FieldDescriptor::CPPTYPE_BOOL:
            return reflection.SetBool(&message, &field, chance(50));
        default:
            ADD_FAILURE() << field.full_name();
        }
    }
    void fit_buckets(pb::Message &message, const pb::Reflection &reflection, const pb::Descriptor &type) {
        const pb::FieldDescriptor *const counts = type.FindFieldByName("bucket_counts");
        reflection.ClearField(&message, counts);
        for (int i = reflection.FieldSize(message, type.FindFieldByName("explicit_bounds")); i >= 0; --i)
            reflection.AddUInt64(&message, counts, number());
    }

    std::mt19937 engine_;
    unsigned metrics_ = 0;
};

// --- What libprotobuf's messages say, as jsonb prints it ---

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string all;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        uint32_t group = 0;
        for (size_t k = 0; k < 3; ++k)
            group = group << 8 | (i + k < bytes.size() ? uint8_t(bytes[i + k]) : 0);
        for (size_t k = 0; k < 4; ++k)
            all += i + k <= bytes.size() ? digits[group >> (18 - 6 * k) & 63] : '=';
    }
    return all;
}

struct ShorterFirst {
    bool operator()(const std::string &a, const std::string &b) const {
        return a.size() != b.size() ? a.size() < b.size() : a < b;
    }
};

std::string floating_text(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
}

using Members = std::map<std::string, std::string, ShorterFirst>;
std::string object_text(const Members &members) {
    std::string all;
    for (const auto &[key, value] : members)
        all += (all.empty() ? "\"" : ", \"") + key + "\": " + value;
    return "{" + all + "}";
}

// Each part of a list, as an array.
std::string array_text(const Field &of, const char *list, const auto &text_of_part) {
    std::string all;
    for (int i = 0; i < of.count(list); ++i)
        all += (i > 0 ? ", " : "") + text_of_part(of.part(list, i));
    return "[" + all + "]";
}

std::string members_text(const Field &of, const char *list);

std::string value_text(const Field &value) {
    if (value.has("string_value"))
        return '"' + value.text("string_value") + '"';
    if (value.has("bool_value"))
        return value.boolean("bool_value") ? "true" : "false";
    if (value.has("int_value"))
        return std::to_string(value.int64("int_value"));
    if (value.has("double_value"))
        return floating_text(value.floating("double_value"));
    if (value.has("bytes_value"))
        return '"' + base64(value.text("bytes_value")) + '"';
    if (value.has("kvlist_value"))
        return members_text(value.part("kvlist_value"), "values");
    if (!value.has("array_value"))
        return "null";
    return array_text(value.part("array_value"), "values", value_text);
}

std::string members_text(const Field &of, const char *list) {
    Members members; // the last one of a name stays
    for (int i = 0; i < of.count(list); ++i)
        members[of.part(list, i).text("key")] = value_text(of.part(list, i).part("value"));
    return object_text(members);
}

std::string hexadecimal(const std::string &bytes) {
    std::string all = "\"";
    for (const char byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", unsigned(uint8_t(byte)));
        all += digits;
    }
    return all + '"';
}

// What was not sent, or is 0, is left out.
std::string exemplar_text(const Field &exemplar) {
    Members members;
    if (exemplar.count("filtered_attributes") > 0)
        members["filtered_attributes"] = members_text(exemplar, "filtered_attributes");
    if (const uint64_t time = exemplar.fixed64("time_unix_nano"))
        members["time_unix_nano"] = std::to_string(time);
    if (exemplar.has("as_double"))
        members["value"] = floating_text(exemplar.floating("as_double"));
    if (exemplar.has("as_int"))
        members["value"] = std::to_string(exemplar.int64("as_int"));
    for (const char *id : {"span_id", "trace_id"})
        if (!exemplar.text(id).empty())
            members[id] = hexadecimal(exemplar.text(id));
    return object_text(members);
}

std::string entity_ref_text(const Field &ref) {
    Members members;
    for (const char *name : {"schema_url", "type"})
        if (!ref.text(name).empty())
            members[name] = '"' + ref.text(name) + '"';
    for (const char *name : {"id_keys", "description_keys"}) {
        std::string all;
        for (const std::string &key : ref.texts(name))
            all += (all.empty() ? "\"" : ", \"") + key + '"';
        members[name] = '[' + all + ']';
    }
    return object_text(members);
}

// --- Comparing ---

std::string json(Jsonb value) {
    return value == nullptr ? "{}" : text_of(value);
}
template<size_t Size> std::string id(const std::array<uint8_t, Size> &value) {
    return value == std::array<uint8_t, Size>() ? "" : std::string(value.begin(), value.end());
}
template<class T> std::vector<T> list(const List<T> &values) {
    return {values.data, values.data + values.count};
}

void expect_owners(const Batch &batch, uint32_t resource_index, uint32_t scope_index, const Field &resource_items,
                   const Field &scope_items) {
    const Resource &resource = batch.resources.at(resource_index);
    const Field r = resource_items.part("resource");
    EXPECT_EQ(json(resource.attributes), members_text(r, "attributes"));
    EXPECT_EQ(resource.dropped_attributes_count, r.uint32("dropped_attributes_count"));
    EXPECT_EQ(resource.entity_refs == nullptr ? "[]" : text_of(resource.entity_refs),
              array_text(r, "entity_refs", entity_ref_text));
    EXPECT_EQ(resource.schema_url, resource_items.text("schema_url"));
    const Scope &scope = batch.scopes.at(scope_index);
    const Field s = scope_items.part("scope");
    EXPECT_EQ(scope.name, s.text("name"));
    EXPECT_EQ(scope.version, s.text("version"));
    EXPECT_EQ(json(scope.attributes), members_text(s, "attributes"));
    EXPECT_EQ(scope.dropped_attributes_count, s.uint32("dropped_attributes_count"));
    EXPECT_EQ(scope.schema_url, scope_items.text("schema_url"));
}

// Calls compare(resource's items, scope's items, item) for each in the order of the request.
void each_item(const pb::Message &request, const auto &compare) {
    const Field all{request};
    for (int r = 0; r < all.count("resources"); ++r)
        for (int s = 0; s < all.part("resources", r).count("scopes"); ++s) {
            const Field scope = all.part("resources", r).part("scopes", s);
            for (int i = 0; i < scope.count("items"); ++i)
                compare(all.part("resources", r), scope, scope.part("items", i));
        }
}

struct Decoding {
    std::unique_ptr<pb::Message> request;
    Outcome outcome;
};

// So many random requests, the same in every run.
void each_decoding(const char *type, Signal signal, const auto &compare) {
    Schema schema;
    for (uint32_t seed = 1; seed <= 200 && !testing::Test::HasFailure(); ++seed) {
        SCOPED_TRACE(seed);
        Decoding decoding{schema.make(type), {}};
        Random(seed).fill(*decoding.request);
        decoding.outcome = decode_protobuf(signal, decoding.request->SerializeAsString());
        ASSERT_TRUE(decoding.outcome.decoded.is_readable) << decoding.outcome.decoded.message;
        ASSERT_EQ(decoding.outcome.decoded.message, "");
        compare(*decoding.request, decoding.outcome.batch);
    }
}

TEST(TelemetryProtobufOracle, Spans) {
    each_decoding("Traces", Signal::traces, [](const pb::Message &request, const Batch &batch) {
        size_t spans = 0, events = 0, links = 0;
        each_item(request, [&](const Field &resource, const Field &scope, const Field &m) {
            const uint32_t index = uint32_t(spans);
            const Span &span = batch.spans.at(spans++);
            expect_owners(batch, span.resource, span.scope, resource, scope);
            EXPECT_EQ(id(span.trace_id), m.text("trace_id"));
            EXPECT_EQ(id(span.span_id), m.text("span_id"));
            EXPECT_EQ(id(span.parent_span_id), m.text("parent_span_id"));
            EXPECT_EQ(span.trace_state, m.text("trace_state"));
            EXPECT_EQ(span.name, m.text("name"));
            EXPECT_EQ(span.kind, m.int32("kind"));
            EXPECT_EQ(span.start_time_unix_nano, m.fixed64("start_time_unix_nano"));
            EXPECT_EQ(span.end_time_unix_nano, m.fixed64("end_time_unix_nano"));
            EXPECT_EQ(json(span.attributes), members_text(m, "attributes"));
            EXPECT_EQ(span.dropped_attributes_count, m.uint32("dropped_attributes_count"));
            EXPECT_EQ(span.dropped_events_count, m.uint32("dropped_events_count"));
            EXPECT_EQ(span.dropped_links_count, m.uint32("dropped_links_count"));
            EXPECT_EQ(span.status_message, m.part("status").text("message"));
            EXPECT_EQ(span.status_code, m.part("status").int32("code"));
            EXPECT_EQ(span.flags, m.uint32("flags"));
            for (int i = 0; i < m.count("events"); ++i) {
                const SpanEvent &event = batch.span_events.at(events++);
                const Field e = m.part("events", i);
                EXPECT_EQ(event.span, index);
                EXPECT_EQ(event.ordinal, uint32_t(i));
                EXPECT_EQ(event.time_unix_nano, e.fixed64("time_unix_nano"));
                EXPECT_EQ(event.name, e.text("name"));
                EXPECT_EQ(json(event.attributes), members_text(e, "attributes"));
                EXPECT_EQ(event.dropped_attributes_count, e.uint32("dropped_attributes_count"));
            }
            for (int i = 0; i < m.count("links"); ++i) {
                const SpanLink &link = batch.span_links.at(links++);
                const Field l = m.part("links", i);
                EXPECT_EQ(link.span, index);
                EXPECT_EQ(link.ordinal, uint32_t(i));
                EXPECT_EQ(id(link.linked_trace_id), l.text("trace_id"));
                EXPECT_EQ(id(link.linked_span_id), l.text("span_id"));
                EXPECT_EQ(link.trace_state, l.text("trace_state"));
                EXPECT_EQ(json(link.attributes), members_text(l, "attributes"));
                EXPECT_EQ(link.dropped_attributes_count, l.uint32("dropped_attributes_count"));
                EXPECT_EQ(link.flags, l.uint32("flags"));
            }
        });
        EXPECT_EQ(batch.spans.size(), spans);
        EXPECT_EQ(batch.span_events.size(), events);
        EXPECT_EQ(batch.span_links.size(), links);
    });
}

TEST(TelemetryProtobufOracle, LogRecords) {
    each_decoding("Logs", Signal::logs, [](const pb::Message &request, const Batch &batch) {
        size_t records = 0;
        each_item(request, [&](const Field &resource, const Field &scope, const Field &m) {
            const LogRecord &record = batch.log_records.at(records++);
            expect_owners(batch, record.resource, record.scope, resource, scope);
            EXPECT_EQ(record.time_unix_nano, m.fixed64("time_unix_nano"));
            EXPECT_EQ(record.observed_time_unix_nano, m.fixed64("observed_time_unix_nano"));
            EXPECT_EQ(record.severity_number, m.int32("severity_number"));
            EXPECT_EQ(record.severity_text, m.text("severity_text"));
            EXPECT_EQ(record.event_name, m.text("event_name"));
            EXPECT_EQ(record.body != nullptr, m.has("body"));
            if (record.body != nullptr) {
                EXPECT_EQ(text_of(record.body), value_text(m.part("body")));
            }
            EXPECT_EQ(json(record.attributes), members_text(m, "attributes"));
            EXPECT_EQ(record.dropped_attributes_count, m.uint32("dropped_attributes_count"));
            EXPECT_EQ(record.flags, m.uint32("flags"));
            EXPECT_EQ(id(record.trace_id), m.text("trace_id"));
            EXPECT_EQ(id(record.span_id), m.text("span_id"));
        });
        EXPECT_EQ(batch.log_records.size(), records);
    });
}

void expect_point(const Batch &batch, const Point &point, const Field &metric, const Field &m) {
    const Series &series = batch.series.at(point.series);
    EXPECT_EQ(batch.metrics.at(series.metric).name, metric.text("name"));
    EXPECT_EQ(json(series.attributes), members_text(m, "attributes"));
    EXPECT_EQ(point.time_unix_nano, m.fixed64("time_unix_nano"));
    EXPECT_EQ(point.start_time_unix_nano, m.fixed64("start_time_unix_nano"));
    EXPECT_EQ(point.flags, m.uint32("flags"));
    if (m.named("exemplars") != nullptr) { // summaries have none
        EXPECT_EQ(point.exemplars == nullptr ? "[]" : text_of(point.exemplars),
                  array_text(m, "exemplars", exemplar_text));
    }
}

void expect_optional(const auto &point, const Field &m) {
    EXPECT_EQ(point.count, m.fixed64("count"));
    const auto expect = [&](bool has_value, double value, const char *name) {
        EXPECT_EQ(has_value, m.has(name));
        EXPECT_TRUE(has_value ? value == m.floating(name) : std::isnan(value)) << name;
    };
    expect(point.has_sum, point.sum, "sum");
    expect(point.has_min, point.min, "min");
    expect(point.has_max, point.max, "max");
}

void expect_values(const NumberPoint &point, const Field &m) {
    EXPECT_EQ(point.which == NumberPoint::Value::floating, m.has("as_double"));
    EXPECT_EQ(point.which == NumberPoint::Value::integer, m.has("as_int"));
    EXPECT_EQ(point.floating, m.floating("as_double"));
    EXPECT_EQ(point.integer, m.int64("as_int"));
}
void expect_values(const HistogramPoint &point, const Field &m) {
    expect_optional(point, m);
    EXPECT_EQ(list(point.bucket_counts), m.numbers("bucket_counts"));
    EXPECT_EQ(list(point.explicit_bounds), m.floatings("explicit_bounds"));
}
void expect_values(const ExponentialHistogramPoint &point, const Field &m) {
    expect_optional(point, m);
    EXPECT_EQ(point.scale, m.int32("scale"));
    EXPECT_EQ(point.zero_count, m.fixed64("zero_count"));
    EXPECT_EQ(point.zero_threshold, m.floating("zero_threshold"));
    EXPECT_EQ(point.positive_offset, m.part("positive").int32("offset"));
    EXPECT_EQ(point.negative_offset, m.part("negative").int32("offset"));
    EXPECT_EQ(list(point.positive_counts), m.part("positive").numbers("bucket_counts"));
    EXPECT_EQ(list(point.negative_counts), m.part("negative").numbers("bucket_counts"));
}
void expect_values(const SummaryPoint &point, const Field &m) {
    EXPECT_EQ(point.count, m.fixed64("count"));
    EXPECT_EQ(point.sum, m.floating("sum"));
    ASSERT_EQ(point.quantiles.count, uint32_t(m.count("quantile_values")));
    for (int i = 0; i < m.count("quantile_values"); ++i) {
        EXPECT_EQ(point.quantiles.data[i], m.part("quantile_values", i).floating("quantile"));
        EXPECT_EQ(point.quantile_values.data[i], m.part("quantile_values", i).floating("value"));
    }
}

TEST(TelemetryProtobufOracle, Metrics) {
    each_decoding("Metrics", Signal::metrics, [](const pb::Message &request, const Batch &batch) {
        size_t numbers = 0, histograms = 0, exponential_histograms = 0, summaries = 0, metrics = 0;
        const auto expect_points = [&](const Field &metric, const char *type, const auto &points, size_t &next) {
            if (!metric.has(type))
                return false;
            for (int i = 0; i < metric.part(type).count("points"); ++i) {
                const auto &point = points.at(next++);
                const Field m = metric.part(type).part("points", i);
                expect_point(batch, point, metric, m);
                expect_values(point, m);
            }
            return metric.part(type).count("points") > 0;
        };
        each_item(request, [&](const Field &resource, const Field &scope, const Field &m) {
            if (!expect_points(m, "gauge", batch.number_points, numbers) &&
                !expect_points(m, "sum", batch.number_points, numbers) &&
                !expect_points(m, "histogram", batch.histogram_points, histograms) &&
                !expect_points(m, "exponential_histogram", batch.exponential_histogram_points,
                               exponential_histograms) &&
                !expect_points(m, "summary", batch.summary_points, summaries))
                return; // without points there is no metric to keep
            const Metric &metric = batch.metrics.at(metrics++);
            expect_owners(batch, metric.resource, metric.scope, resource, scope);
            EXPECT_EQ(metric.name, m.text("name"));
            EXPECT_EQ(metric.description, m.text("description"));
            EXPECT_EQ(metric.unit, m.text("unit"));
            EXPECT_EQ(json(metric.metadata), members_text(m, "metadata"));
            EXPECT_EQ(metric.is_monotonic, m.part("sum").boolean("is_monotonic"));
            for (const char *type : {"sum", "histogram", "exponential_histogram"})
                if (m.has(type)) {
                    EXPECT_EQ(metric.aggregation_temporality, m.part(type).int32("aggregation_temporality"));
                }
        });
        EXPECT_EQ(batch.metrics.size(), metrics);
        EXPECT_EQ(batch.number_points.size(), numbers);
        EXPECT_EQ(batch.histogram_points.size(), histograms);
        EXPECT_EQ(batch.exponential_histogram_points.size(), exponential_histograms);
        EXPECT_EQ(batch.summary_points.size(), summaries);
    });
}

TEST(TelemetryProtobufOracle, Answers) {
    Schema schema;
    const auto response = schema.make("Response"), status = schema.make("Status");
    std::mt19937_64 engine(1);
    for (int round = 0; round < 200; ++round) {
        Decoded decoded;
        decoded.rejected = int64_t(engine() >> 1 >> engine() % 63);
        decoded.message = std::string(engine() % 300, 'm') + "é日";
        ASSERT_TRUE(response->ParseFromString(response_body(Signal::logs, Encoding::protobuf, decoded)));
        const Field partial = Field{*response}.part("partial_success");
        EXPECT_EQ(partial.int64("rejected"), decoded.rejected);
        EXPECT_EQ(partial.text("error_message"), decoded.message);
        const int code = int(engine() % 17);
        ASSERT_TRUE(status->ParseFromString(status_body(Encoding::protobuf, code, decoded.message)));
        EXPECT_EQ(Field{*status}.int32("code"), code);
        EXPECT_EQ(Field{*status}.text("message"), decoded.message);
        EXPECT_EQ(Field{*status}.count("details"), code == invalid_argument ? 1 : 0);
    }
    ASSERT_TRUE(status->ParseFromString(status_body(Encoding::protobuf, invalid_argument, "no", "resourceLogs[7]")));
    const Field any = Field{*status}.part("details", 0);
    EXPECT_EQ(any.text("type_url"), "type.googleapis.com/google.rpc.BadRequest");
    const auto bad_request = schema.make("BadRequest");
    ASSERT_TRUE(bad_request->ParseFromString(any.text("value")));
    ASSERT_EQ(Field{*bad_request}.count("field_violations"), 1);
    EXPECT_EQ(Field{*bad_request}.part("field_violations", 0).text("field"), "resourceLogs[7]");
    EXPECT_EQ(Field{*bad_request}.part("field_violations", 0).text("description"), "no");
    ASSERT_TRUE(response->ParseFromString(response_body(Signal::logs, Encoding::protobuf, {})));
    EXPECT_FALSE(Field{*response}.has("partial_success"));
}

} // namespace
} // namespace dbnet::telemetry::test
