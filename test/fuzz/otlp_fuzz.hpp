// What both fuzz targets of the decoders check: whatever the bytes, a batch is one that PostgreSQL can keep. The first
// byte of an input chooses the signal, the rest is the body.
#pragma once

#include "telemetry/otlp/otlp.hpp"

#include <simdjson.h>

#include <cstdlib>
#include <cstring>

namespace dbnet::telemetry::fuzz {

inline void require(bool condition) {
    if (!condition)
        std::abort();
}

inline void check_text(std::string_view text) {
    require(simdjson::validate_utf8(text.data(), text.size()) && text.find('\0') == text.npos);
}

inline uint32_t word(const char *at) {
    uint32_t value;
    std::memcpy(&value, at, sizeof value);
    return value;
}

// A container of jsonb that ends at `end`: entries within it, types known, keys in order.
inline void check_container(const char *start, const char *at, const char *end) {
    require(end - at >= 4 && (at - start) % 4 == 0);
    const uint32_t header = word(at), size = header & 0x0FFFFFFF;
    const bool is_object = (header & 0x20000000) != 0;
    require(is_object != ((header & 0x40000000) != 0));
    const uint32_t entries = is_object ? size * 2 : size;
    require(static_cast<size_t>(end - at) >= 4 + static_cast<size_t>(entries) * 4);
    const char *const data = at + 4 + entries * 4;
    uint32_t from = 0;
    std::string_view key;
    for (uint32_t i = 0; i < entries; ++i) {
        const uint32_t entry = word(at + 4 + i * 4);
        require((entry >> 31 != 0) == (i % 32 == 0));
        const uint32_t to = entry >> 31 != 0 ? entry & 0x0FFFFFFF : from + (entry & 0x0FFFFFFF);
        require(to >= from && static_cast<size_t>(end - data) >= to);
        const char *aligned = data + from;
        while ((aligned - start) % 4 != 0)
            ++aligned;
        const uint32_t type = entry & 0x70000000;
        if (type == 0)
            check_text({data + from, to - from});
        else if (type == 0x10000000)
            require(data + to - aligned >= 6 && word(aligned) >> 2 == static_cast<uint32_t>(data + to - aligned));
        else if (type == 0x50000000)
            check_container(start, aligned, data + to);
        else
            require(type <= 0x40000000 && to == from);
        if (is_object && i < size) {
            const std::string_view next(data + from, to - from);
            require(type == 0 && (i == 0 || key.size() < next.size() || (key.size() == next.size() && key < next)));
            key = next;
        }
        from = to;
    }
    require(data + from == end);
}

inline void check_jsonb(Jsonb jsonb) {
    require(jsonb != nullptr);
    check_container(jsonb, jsonb + 4, jsonb + (word(jsonb) >> 2));
}

inline void check_point(const Batch &batch, const Point &point) {
    require(point.series < batch.series.size());
    if (point.exemplars != nullptr)
        check_jsonb(point.exemplars);
}

inline void check(const Batch &batch) {
    for (const Resource &resource : batch.resources) {
        check_jsonb(resource.attributes);
        check_text(resource.service_name);
        check_text(resource.schema_url);
        if (resource.entity_refs != nullptr)
            check_jsonb(resource.entity_refs);
    }
    for (const Scope &scope : batch.scopes) {
        check_jsonb(scope.attributes);
        check_text(scope.name);
    }
    for (const Span &span : batch.spans) {
        require(span.resource < batch.resources.size() && span.scope < batch.scopes.size() && span.request == 0);
        check_text(span.name);
        check_jsonb(span.attributes);
    }
    for (const SpanEvent &event : batch.span_events) {
        require(event.span < batch.spans.size());
        check_text(event.name);
        check_jsonb(event.attributes);
    }
    for (const SpanLink &link : batch.span_links) {
        require(link.span < batch.spans.size());
        check_jsonb(link.attributes);
    }
    for (const Metric &metric : batch.metrics) {
        require(metric.resource < batch.resources.size() && metric.scope < batch.scopes.size());
        check_text(metric.name);
    }
    for (const Series &series : batch.series) {
        require(series.metric < batch.metrics.size());
        check_jsonb(series.attributes);
    }
    for (const NumberPoint &point : batch.number_points)
        check_point(batch, point);
    for (const HistogramPoint &point : batch.histogram_points)
        check_point(batch, point);
    for (const ExponentialHistogramPoint &point : batch.exponential_histogram_points)
        check_point(batch, point);
    for (const SummaryPoint &point : batch.summary_points)
        check_point(batch, point);
    for (const LogRecord &record : batch.log_records) {
        require(record.resource < batch.resources.size() && record.scope < batch.scopes.size());
        check_jsonb(record.attributes);
        if (record.body != nullptr)
            check_jsonb(record.body);
    }
}

inline void decode_and_check(Encoding encoding, const uint8_t *data, size_t size) {
    if (size == 0)
        return;
    const auto signal = static_cast<Signal>(data[0] % 3);
    const std::string_view body(reinterpret_cast<const char *>(data) + 1, size - 1);
    Batch batch;
    const Decoded decoded = decode(signal, encoding, body, {}, batch);
    check(batch);
    check_text(decoded.message);
    const size_t items = batch.spans.size() + batch.log_records.size() + batch.number_points.size() +
                         batch.histogram_points.size() + batch.exponential_histogram_points.size() +
                         batch.summary_points.size();
    require(static_cast<size_t>(decoded.taken) == items);
    if (!decoded.is_readable)
        require(batch.requests.empty() && batch.resources.empty() && !decoded.message.empty());
    require(response_body(signal, encoding, decoded).size() < 32768);
}

} // namespace dbnet::telemetry::fuzz
