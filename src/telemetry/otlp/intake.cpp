// Items and what they refer to; see the header. Any process that takes telemetry.
#include "telemetry/otlp/intake.hpp"

#include "telemetry/content_hash.hpp"

#include <algorithm>

namespace dbnet::telemetry {
namespace {

// Records of one request. Bodies are limited in bytes, but a record that says nothing takes two of them and a hundred
// times as much memory here.
constexpr size_t most_records = 1'000'000;
constexpr size_t most_owners = 100'000; // resources and scopes

// The index of what has this hash, after `make` if it is new.
template<class Record, class Make>
uint32_t intern(std::vector<Record> &records, HashIndex &index, const Hash &hash, Make make) {
    uint32_t found = index.find(hash);
    if (found == HashIndex::absent) {
        found = static_cast<uint32_t>(records.size());
        records.push_back(make());
        records.back().hash = hash;
        index.insert(hash, found);
    }
    return found;
}

} // namespace

Intake::Intake(Signal signal, const Sender &sender, Batch &batch)
    : batch(batch), request(static_cast<uint32_t>(batch.requests.size())), signal_(signal), start_(batch.mark()),
      records_before_(batch.records()), owners_before_(owners()), items_before_(items()) {
    // The last resource is known by its bytes alone.
    if (!batch.requests.empty() && batch.requests.back().sender.resource_attributes != sender.resource_attributes)
        batch.last_resource = {};
    pin(sender.resource_attributes);
    batch.requests.push_back({sender, signal, 0, 0});
}

int64_t Intake::items() const noexcept {
    return static_cast<int64_t>(batch.spans.size() + batch.log_records.size() + batch.number_points.size() +
                                batch.histogram_points.size() + batch.exponential_histogram_points.size() +
                                batch.summary_points.size());
}

bool Intake::has_room() {
    return batch.records() - records_before_ < most_records ||
           refuse("the request holds more than " + std::to_string(most_records) + " records; send smaller ones");
}

size_t Intake::owners() const noexcept {
    return batch.resources.size() + batch.scopes.size();
}

// A limit of their own: they come after what is of them, which is lost with them.
void Intake::refuse_without_room(Owner &owner) {
    if (owner.is_refused || owners() - owners_before_ < most_owners)
        return;
    refuse("the request holds more than " + std::to_string(most_owners) + " resources and scopes; send smaller ones");
    refuse_owner(owner);
}

bool Intake::finish_attributes(JsonbBuilder &builder, Jsonb &attributes) {
    attributes = builder.finish_object(batch.arena);
    return attributes != nullptr ||
           refuse("attributes hold more than " + std::to_string(JsonbBuilder::most_values) + " values or 255 MB");
}

// --- Resources and scopes ---

Intake::Level Intake::level() const {
    return {batch.mark(), metrics_.size(), points_.size(), items()};
}

void Intake::begin_resource() {
    under_way_ = Part::resource;
    resource_level_ = level();
    resource.clear();
    scope_number = 0;
}

void Intake::begin_scope() {
    under_way_ = Part::scope;
    scope_level_ = level();
    scope.clear();
    metric_number = item_number = 0;
}

void Intake::drop(const Level &level) {
    rejected_ += items() - level.items;
    batch.rewind(level.mark);
    metrics_.resize(level.metrics);
    points_.resize(level.points);
}

template<class Record>
void Intake::assign(std::vector<Record> &records, size_t first, uint32_t Record::*member, uint32_t index) {
    for (size_t at = first; at < records.size(); ++at)
        records[at].*member = index;
}

std::optional<uint32_t> Intake::end_scope() {
    const std::optional<uint32_t> index = intern_scope();
    if (index)
        end_scope(*index);
    else
        drop(scope_level_);
    under_way_ = Part::resource;
    return index;
}

void Intake::end_scope(uint32_t index) {
    assign(batch.spans, scope_level_.mark.spans, &Span::scope, index);
    assign(batch.log_records, scope_level_.mark.log_records, &LogRecord::scope, index);
    for (size_t at = scope_level_.metrics; at < metrics_.size(); ++at)
        metrics_[at].metric.scope = index;
    under_way_ = Part::resource;
}

std::optional<uint32_t> Intake::end_resource() {
    const std::optional<uint32_t> index = intern_resource();
    if (index)
        end_resource(*index);
    else
        drop(resource_level_);
    under_way_ = Part::request;
    return index;
}

void Intake::end_resource(uint32_t index) {
    assign(batch.spans, resource_level_.mark.spans, &Span::resource, index);
    assign(batch.log_records, resource_level_.mark.log_records, &LogRecord::resource, index);
    settle_metrics(resource_level_.metrics, index);
    under_way_ = Part::request;
}

// Texts are copied: what a resource refers to lives as long as the batch.
void Intake::pin(const std::vector<PinnedAttribute> &attributes) {
    const auto kept = [this](std::string_view text) {
        char *const copy = batch.arena.allocate(text.size());
        std::copy(text.begin(), text.end(), copy);
        return kept_text({copy, text.size()});
    };
    for (const PinnedAttribute &attribute : attributes) {
        auto &pinned = pinned_.emplace_back(kept(attribute.name), false);
        std::visit(
            [&](const auto &value) {
                if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>)
                    pinned.second = kept(value);
                else
                    pinned.second = value;
            },
            attribute.value);
    }
}

// Last, so that they win over those of the same name.
void Intake::add_pinned_attributes() {
    JsonbBuilder &attributes = resource.attributes;
    for (const auto &[name, value] : pinned_) {
        const uint32_t position = attributes.position();
        if (const auto *text = std::get_if<std::string_view>(&value))
            attributes.string(*text);
        else if (const auto *integer = std::get_if<int64_t>(&value))
            attributes.integer(*integer);
        else if (const auto *floating = std::get_if<double>(&value))
            attributes.floating(*floating);
        else
            attributes.boolean(std::get<bool>(value));
        attributes.name(position, name);
    }
}

std::optional<uint32_t> Intake::intern_resource() {
    Jsonb attributes = nullptr, entity_refs = nullptr;
    add_pinned_attributes();
    if (!resource.is_refused && !finish_attributes(resource.attributes, attributes))
        refuse_owner(resource);
    if (!resource.is_refused && !resource.entity_refs.is_empty() &&
        (entity_refs = resource.entity_refs.finish_array(batch.arena)) == nullptr) {
        refuse("entityRefs are too big");
        refuse_owner(resource);
    }
    refuse_without_room(resource);
    if (resource.is_refused)
        return std::nullopt;
    ContentHash hash;
    hash.add(jsonb_bytes(attributes));
    hash.add(entity_refs == nullptr ? std::string_view() : jsonb_bytes(entity_refs));
    hash.add(resource.schema_url);
    hash.add(uint64_t(resource.dropped_attributes_count));
    return intern(batch.resources, batch.resource_index, hash.end(), [&] {
        const auto value = [&](std::string_view key) { return resource.attributes.find_string(key); };
        const std::string_view node = value("k8s.node.name");
        return Resource{{},
                        value("service.name"),
                        value("service.namespace"),
                        value("service.instance.id"),
                        node.empty() ? value("host.name") : node,
                        value("k8s.pod.name"),
                        attributes,
                        entity_refs,
                        resource.schema_url,
                        resource.dropped_attributes_count};
    });
}

std::optional<uint32_t> Intake::intern_scope() {
    Jsonb attributes = nullptr;
    if (!scope.is_refused && !finish_attributes(scope.attributes, attributes))
        refuse_owner(scope);
    refuse_without_room(scope);
    if (scope.is_refused)
        return std::nullopt;
    ContentHash hash;
    hash.add(jsonb_bytes(attributes));
    hash.add(scope.name);
    hash.add(scope.version);
    hash.add(scope.schema_url);
    hash.add(uint64_t(scope.dropped_attributes_count));
    return intern(batch.scopes, batch.scope_index, hash.end(), [&] {
        return Scope{{}, scope.name, scope.version, scope.schema_url, attributes, scope.dropped_attributes_count};
    });
}

// --- Spans and log records ---

void Intake::begin_span() {
    under_way_ = Part::item;
    item.clear();
    first_event_ = batch.span_events.size();
    first_link_ = batch.span_links.size();
}

void Intake::end_span(Span &span, bool is_kept) {
    span.request = request;
    is_kept = is_kept && has_room() && (span.trace_id != TraceId() || refuse("trace_id is missing or all zero")) &&
              (span.span_id != SpanId() || refuse("span_id is missing or all zero")) &&
              finish_attributes(item, span.attributes);
    if (is_kept) {
        batch.spans.push_back(span);
    } else {
        batch.span_events.resize(first_event_);
        batch.span_links.resize(first_link_);
        reject_item(span.name);
    }
    ++item_number;
    under_way_ = Part::scope;
}

void Intake::begin_log_record() {
    under_way_ = Part::item;
    part.clear();
    item.clear();
}

void Intake::end_log_record(LogRecord &record, bool is_kept) {
    record.request = request;
    if (is_kept && has_room() && finish_attributes(item, record.attributes))
        batch.log_records.push_back(record);
    else
        reject_item(record.event_name);
    ++item_number;
    under_way_ = Part::scope;
}

// --- Metrics ---

size_t Intake::points_of(MetricType type) const noexcept {
    switch (type) {
    case MetricType::gauge:
    case MetricType::sum:
        return batch.number_points.size();
    case MetricType::histogram:
        return batch.histogram_points.size();
    case MetricType::exponential_histogram:
        return batch.exponential_histogram_points.size();
    case MetricType::summary:
        return batch.summary_points.size();
    }
    return 0;
}

Point &Intake::point_of(MetricType type, uint32_t index) {
    switch (type) {
    case MetricType::histogram:
        return batch.histogram_points[index];
    case MetricType::exponential_histogram:
        return batch.exponential_histogram_points[index];
    case MetricType::summary:
        return batch.summary_points[index];
    default:
        return batch.number_points[index];
    }
}

void Intake::shorten_points(MetricType type, size_t size) {
    switch (type) {
    case MetricType::gauge:
    case MetricType::sum:
        return batch.number_points.resize(size);
    case MetricType::histogram:
        return batch.histogram_points.resize(size);
    case MetricType::exponential_histogram:
        return batch.exponential_histogram_points.resize(size);
    case MetricType::summary:
        return batch.summary_points.resize(size);
    }
}

void Intake::begin_metric() {
    under_way_ = Part::metric;
    first_point_ = points_.size();
    type_.reset();
    metadata.clear();
    item_number = 0;
}

// Of the metric under way.
void Intake::forget_points() {
    if (type_)
        shorten_points(*type_, points_of(*type_) - (points_.size() - first_point_));
    points_.resize(first_point_);
}

void Intake::begin_data(MetricType type) {
    if (type_ && *type_ != type)
        forget_points();
    type_ = type;
}

void Intake::begin_point() {
    under_way_ = Part::item;
    item.clear();
    part.clear();
}

bool Intake::end_point_parts(Point &point, Jsonb &attributes) {
    point.request = request;
    if (!has_room() || !finish_attributes(item, attributes))
        return false;
    if (!part.is_empty())
        point.exemplars = part.finish_array(batch.arena);
    return part.is_empty() || point.exemplars != nullptr || refuse("exemplars hold too many values");
}

void Intake::end_metric(Metric &metric, bool is_kept) {
    const size_t points = points_.size() - first_point_;
    if (is_kept && !metadata.is_empty())
        is_kept = finish_attributes(metadata, metric.metadata) || within("metadata");
    if (!is_kept) {
        forget_points();
        reject_metric(metric.name, points);
    } else if (points > 0) { // else nothing was measured
        metric.type = *type_;
        metrics_.push_back({metric, first_point_});
    }
    ++metric_number;
    under_way_ = Part::scope;
}

// A metric is the same when what identifies its time series is (its description and metadata do not); points of one
// metric with the same attributes are of one series.
void Intake::settle_metrics(size_t first_metric, uint32_t resource) {
    for (size_t at = first_metric; at < metrics_.size(); ++at) {
        Metric &metric = metrics_[at].metric;
        metric.resource = resource;
        ContentHash hash;
        hash.add(batch.resources[resource].hash);
        hash.add(batch.scopes[metric.scope].hash);
        hash.add(metric.name);
        hash.add(metric.unit);
        hash.add(uint64_t(metric.type));
        hash.add(uint64_t(metric.aggregation_temporality));
        hash.add(uint64_t(metric.is_monotonic));
        const Hash metric_hash = hash.end();
        const uint32_t index = intern(batch.metrics, batch.metric_index, metric_hash, [&] { return metric; });
        const size_t end = at + 1 < metrics_.size() ? metrics_[at + 1].first_point : points_.size();
        for (size_t point = metrics_[at].first_point; point < end; ++point) {
            const Jsonb attributes = points_[point].attributes;
            ContentHash series_hash;
            series_hash.add(metric_hash);
            series_hash.add(jsonb_bytes(attributes));
            point_of(metric.type, points_[point].index).series =
                intern(batch.series, batch.series_index, series_hash.end(), [&] {
                    return Series{{}, attributes, index};
                });
        }
    }
    metrics_.resize(first_metric);
    points_.resize(resource_level_.points);
}

} // namespace dbnet::telemetry

#include "pg/no_postgres.hpp"
