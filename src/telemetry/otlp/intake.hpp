// What the decoders of both encodings share: the batch that they fill, what becomes of an item that cannot be kept, and
// the settling of what items refer to. A resource, a scope and a metric's name may come after the items that they are
// of, in protobuf and in JSON; so items get them when the message that holds all of it ends. Pure C++.
#pragma once

#include "telemetry/otlp/otlp.hpp"
#include "telemetry/otlp/text.hpp"
#include "telemetry/tables/jsonb_bytes.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dbnet::telemetry {

// Nesting of AnyValue: what walks a value calls itself as often, and the stack of a backend is not ours alone.
constexpr unsigned deepest_value = 100;

// A body that cannot be parsed. The field that is wrong is one of what is under way; empty: all of that.
struct Unreadable : std::runtime_error {
    explicit Unreadable(const std::string &reason, std::string field = {})
        : runtime_error(reason), field(std::move(field)) {}

    std::string field;
};

// A resource or scope under way.
struct Owner {
    JsonbBuilder attributes;
    JsonbBuilder entity_refs;       // of a resource
    std::string_view name, version; // of a scope
    std::string_view schema_url;
    uint32_t dropped_attributes_count = 0;
    bool is_refused = false; // with all of its items

    void clear() noexcept {
        attributes.clear();
        entity_refs.clear();
        name = version = schema_url = {};
        dropped_attributes_count = 0;
        is_refused = false;
    }
};

class Intake {
public:
    Intake(Signal signal, const Sender &sender, Batch &batch);

    Batch &batch;
    const uint32_t request;
    JsonbBuilder item;     // attributes of the record under way
    JsonbBuilder part;     // attributes of an event or link of it, exemplars of a point, body of a log record
    JsonbBuilder metadata; // of the metric under way
    Owner resource, scope;
    TextFaults faults;

    // Where in the request we are; counts from 0.
    uint32_t resource_number = 0, scope_number = 0, metric_number = 0, item_number = 0;
    // What is under way, with JSON's names: resourceSpans[0].scopeSpans[1]. Empty: the request.
    std::string place() const;

    // As the database keeps it: of any bytes, and of UTF-8.
    std::string_view text(std::string_view bytes) { return kept_text(clean_text(bytes, batch.arena, faults)); }
    std::string_view kept_text(std::string_view utf8) {
        return batch.encode == nullptr || is_plain_ascii(utf8) ? utf8 : batch.encode(utf8, batch.arena);
    }

    // --- What cannot be kept. The reason goes from inside out: refuse(), within() …, reject_item(). ---
    // Always false, so that what reads a part can say `return intake.refuse(…)`.
    bool refuse(std::string_view reason);
    bool within(std::string_view part, std::string_view name = {}); // the reason is about this part of it
    // For the reason that was given: the record under way, or a metric with so many points.
    void reject_item(std::string_view name);
    void reject_metric(std::string_view name, size_t points);
    bool has_room(); // for one more record; refuses when there is none

    // --- Jsonb of a builder; false: refused ---
    bool finish_attributes(JsonbBuilder &builder, Jsonb &attributes);

    // --- Resources and scopes: their fields come at any time between the two calls ---
    void begin_resource();
    std::optional<uint32_t> end_resource(); // its index, unless it was refused
    void begin_scope();
    std::optional<uint32_t> end_scope();
    void refuse_owner(Owner &owner); // for the reason that was given
    // As end_…, of one that was decoded before.
    void end_resource(uint32_t resource);
    void end_scope(uint32_t scope);

    // An id of a log record that was read, or not: as the protocol wants it, a record whose id is none is kept, and is
    // of no trace. Always true.
    template<class Id> bool take_id(Id &id, bool is_read) {
        if (!is_read)
            id = {};
        lost_ids_ += !is_read;
        return true;
    }

    // --- Spans and log records; their attributes are in `item`, events and links go into the batch in between ---
    void begin_span();
    void end_span(Span &span, bool is_kept);
    void begin_log_record();
    void end_log_record(LogRecord &record, bool is_kept);

    // --- Metrics: data points first, then what they are points of. Attributes of a point are in `item`, its exemplars
    // in `part`. ---
    void begin_metric();
    void begin_data(MetricType type); // another type forgets the points of the one before
    void begin_point();
    template<class PointRecord> void end_point(std::vector<PointRecord> &list, PointRecord &point, bool is_kept);
    void end_metric(Metric &metric, bool is_kept); // its metadata is in `metadata`, its type is that of begin_data()

    // Of the request; called once, at its end.
    Decoded result();

private:
    enum class Part : uint8_t { request, resource, scope, metric, item };
    struct PendingMetric {
        Metric metric;
        size_t first_point;
    };
    struct PendingPoint {
        Jsonb attributes;
        uint32_t index; // in the list of the metric's type
    };
    struct Level { // a resource or scope under way
        Batch::Mark mark;
        size_t metrics, points;
        int64_t items;
    };

    Level level() const;
    void drop(const Level &level);
    int64_t items() const noexcept;
    size_t owners() const noexcept;
    void refuse_without_room(Owner &owner);
    std::string resource_place() const;
    std::string scope_place() const;
    std::string metric_place() const;
    std::string item_place() const;
    void pin(const std::vector<PinnedAttribute> &attributes);
    void add_pinned_attributes();
    std::optional<uint32_t> intern_resource();
    std::optional<uint32_t> intern_scope();
    void note_reason(std::string text);
    template<class Record>
    void assign(std::vector<Record> &records, size_t first, uint32_t Record::*member, uint32_t index);
    void settle_metrics(size_t first_metric, uint32_t resource);
    void forget_points();
    void shorten_points(MetricType type, size_t size);
    Point &point_of(MetricType type, uint32_t index);
    bool end_point_parts(Point &point, Jsonb &attributes);
    size_t points_of(MetricType type) const noexcept;

    const Signal signal_;
    const Batch::Mark start_;
    const size_t records_before_, owners_before_;
    const int64_t items_before_;
    std::vector<std::pair<std::string_view, std::variant<std::string_view, int64_t, double, bool>>>
        pinned_; // in the arena
    Part under_way_ = Part::request;
    Level resource_level_{}, scope_level_{};
    size_t first_event_ = 0, first_link_ = 0; // of the span under way
    std::vector<PendingMetric> metrics_;
    std::vector<PendingPoint> points_;
    size_t first_point_ = 0; // of the metric under way, in points_
    std::optional<MetricType> type_;
    std::string reason_;
    std::vector<std::string> reasons_; // the first few
    int64_t rejected_ = 0;
    uint64_t lost_ids_ = 0;
};

template<class PointRecord> void Intake::end_point(std::vector<PointRecord> &list, PointRecord &point, bool is_kept) {
    Jsonb attributes;
    if (is_kept && end_point_parts(point, attributes)) {
        points_.push_back({attributes, static_cast<uint32_t>(list.size())});
        list.push_back(point);
    } else {
        reject_item({});
    }
    ++item_number;
    under_way_ = Part::metric;
}

} // namespace dbnet::telemetry
