// Batches as text; see the header. The reading of jsonb follows utils/jsonb.h, not what writes it.
#include "telemetry_support.hpp"

#include <gtest/gtest.h>

#include <concepts>
#include <cstring>

namespace dbnet::telemetry::test {
namespace {

uint32_t word(const char *at) {
    uint32_t value;
    std::memcpy(&value, at, 4);
    return value;
}

std::string numeric_text(const char *at, size_t size) {
    EXPECT_EQ(word(at) >> 2, size);
    const auto half = [&](size_t offset) {
        uint16_t value;
        std::memcpy(&value, at + offset, 2);
        return value;
    };
    const uint16_t header = half(4);
    const bool is_short = (header & 0x8000) != 0;
    const bool negative = is_short ? (header & 0x2000) != 0 : (header & 0x4000) != 0;
    const int scale = is_short ? header >> 7 & 0x3F : header & 0x3FFF;
    const int weight = is_short ? (header & 0x40 ? (header & 0x3F) - 64 : header & 0x3F) : int16_t(half(6));
    std::vector<int> digits;
    for (size_t offset = is_short ? 6 : 8; offset < size; offset += 2)
        digits.push_back(half(offset));
    const auto digit = [&](int place) { // of 10000^place
        const int index = weight - place;
        return index >= 0 && index < int(digits.size()) ? digits[size_t(index)] : 0;
    };
    std::string text;
    for (int place = std::max(weight, 0); place >= 0; --place) {
        char piece[8];
        std::snprintf(piece, sizeof piece, text.empty() ? "%d" : "%04d", digit(place));
        if (!text.empty() || digit(place) != 0 || place == 0)
            text += piece;
    }
    std::string fraction;
    for (int place = -1; int(fraction.size()) < scale; --place) {
        char piece[8];
        std::snprintf(piece, sizeof piece, "%04d", digit(place));
        fraction += piece;
    }
    fraction.resize(size_t(scale));
    return (negative ? "-" : "") + text + (scale > 0 ? "." + fraction : "");
}

std::string quoted(std::string_view text) {
    std::string all = "\"";
    for (const char c : text) {
        char piece[8];
        std::snprintf(piece, sizeof piece, "\\u%04x", c);
        all += c == '"' ? "\\\"" : c == '\\' ? "\\\\" : uint8_t(c) < 0x20 ? piece : std::string(1, c);
    }
    return all + "\"";
}

struct Container {
    const char *start; // of the whole, for alignment
    const char *at;

    uint32_t header() const { return word(at); }
    uint32_t entries() const { return (header() & 0x0FFFFFFF) * (header() & 0x20000000 ? 2 : 1); }
    uint32_t entry(uint32_t index) const { return word(at + 4 + index * 4); }
    uint32_t end_of(uint32_t index) const {
        uint32_t end = 0;
        for (;; --index) {
            end += entry(index) & 0x0FFFFFFF;
            if (entry(index) & 0x80000000 || index == 0)
                return end;
        }
    }
    std::string value(uint32_t index) const {
        const uint32_t from = index == 0 ? 0 : end_of(index - 1), end = end_of(index);
        EXPECT_LE(from, end);
        const char *const data = at + 4 + entries() * 4;
        const char *aligned = data + from;
        while ((aligned - start) % 4 != 0)
            ++aligned;
        switch (entry(index) & 0x70000000) {
        case 0x00000000:
            return quoted({data + from, end - from});
        case 0x10000000:
            return numeric_text(aligned, size_t(data + end - aligned));
        case 0x20000000:
            return "false";
        case 0x30000000:
            return "true";
        case 0x40000000:
            return "null";
        default:
            return Container{start, aligned}.text();
        }
    }
    std::string text() const {
        const uint32_t count = header() & 0x0FFFFFFF;
        if (header() & 0x10000000)
            return value(0);
        const bool is_object = (header() & 0x20000000) != 0;
        std::string all = is_object ? "{" : "[";
        for (uint32_t i = 0; i < count; ++i)
            all += (i > 0 ? ", " : "") + (is_object ? value(i) + ": " + value(i + count) : value(i));
        return all + (is_object ? "}" : "]");
    }
};

std::string hexadecimal(const auto &bytes) {
    std::string text;
    char piece[4];
    for (const uint8_t byte : bytes) {
        std::snprintf(piece, sizeof piece, "%02x", byte);
        text += piece;
    }
    return text;
}

std::string shown(double value) {
    char text[64];
    std::snprintf(text, sizeof text, "%.17g", value);
    return text;
}

template<class T> std::string list_text(const List<T> &values) {
    std::string all = "[";
    for (uint32_t i = 0; i < values.count; ++i) {
        all += i > 0 ? " " : "";
        if constexpr (std::is_same_v<T, double>)
            all += shown(values.data[i]);
        else
            all += std::to_string(values.data[i]);
    }
    return all + "]";
}

class Lines {
public:
    Lines &start(const char *kind) {
        text += (text.empty() ? "" : "\n") + std::string(kind);
        return *this;
    }
    Lines &add(const char *name, const std::string &value) {
        if (!value.empty() && value != "0" && value != "{}")
            text += " " + std::string(name) + "=" + value;
        return *this;
    }
    Lines &add(const char *name, std::string_view value) { return add(name, std::string(value)); }
    Lines &add(const char *name, const char *value) { return add(name, std::string(value)); }
    Lines &add(const char *name, std::integral auto value) { return add(name, std::to_string(value)); }
    Lines &json(const char *name, Jsonb value) { return add(name, value == nullptr ? "" : text_of(value)); }
    template<size_t Size> Lines &id(const char *name, const std::array<uint8_t, Size> &value) {
        return add(name, value == std::array<uint8_t, Size>() ? "" : hexadecimal(value));
    }
    Lines &point(const char *kind, const Point &point) {
        return start(kind)
            .add("series", std::to_string(point.series) + ".")
            .add("time", point.time_unix_nano)
            .add("start", point.start_time_unix_nano)
            .add("flags", point.flags)
            .json("exemplars", point.exemplars);
    }
    template<class PointRecord> Lines &optional(const PointRecord &point) {
        return add("sum", point.has_sum ? shown(point.sum) : "")
            .add("min", point.has_min ? shown(point.min) : "")
            .add("max", point.has_max ? shown(point.max) : "");
    }
    std::string text;
};

} // namespace

std::string text_of(Jsonb jsonb) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(jsonb) % 8, 0u);
    return Container{jsonb, jsonb + 4}.text();
}

std::string text_of(const Batch &batch) {
    Lines out;
    for (const Resource &r : batch.resources)
        out.start("resource")
            .add("service", r.service_name)
            .add("namespace", r.service_namespace)
            .add("instance", r.service_instance_id)
            .add("node", r.node)
            .add("pod", r.pod)
            .json("attributes", r.attributes)
            .json("entity_refs", r.entity_refs)
            .add("schema_url", r.schema_url)
            .add("dropped", r.dropped_attributes_count);
    for (const Scope &s : batch.scopes)
        out.start("scope")
            .add("name", s.name)
            .add("version", s.version)
            .json("attributes", s.attributes)
            .add("schema_url", s.schema_url)
            .add("dropped", s.dropped_attributes_count);
    for (const Span &s : batch.spans)
        out.start("span")
            .id("trace", s.trace_id)
            .id("id", s.span_id)
            .id("parent", s.parent_span_id)
            .add("state", s.trace_state)
            .add("name", s.name)
            .add("kind", s.kind)
            .add("start", s.start_time_unix_nano)
            .add("end", s.end_time_unix_nano)
            .add("status", s.status_code)
            .add("message", s.status_message)
            .json("attributes", s.attributes)
            .add("flags", s.flags)
            .add("dropped_attributes", s.dropped_attributes_count)
            .add("dropped_events", s.dropped_events_count)
            .add("dropped_links", s.dropped_links_count)
            .add("of", std::to_string(s.resource) + "/" + std::to_string(s.scope) + "/" + std::to_string(s.request));
    for (const SpanEvent &e : batch.span_events)
        out.start("event")
            .add("of", std::to_string(e.span) + "." + std::to_string(e.ordinal))
            .add("time", e.time_unix_nano)
            .add("name", e.name)
            .json("attributes", e.attributes)
            .add("dropped", e.dropped_attributes_count);
    for (const SpanLink &l : batch.span_links)
        out.start("link")
            .add("of", std::to_string(l.span) + "." + std::to_string(l.ordinal))
            .id("trace", l.linked_trace_id)
            .id("id", l.linked_span_id)
            .add("state", l.trace_state)
            .json("attributes", l.attributes)
            .add("flags", l.flags)
            .add("dropped", l.dropped_attributes_count);
    for (const Metric &m : batch.metrics)
        out.start("metric")
            .add("name", m.name)
            .add("description", m.description)
            .add("unit", m.unit)
            .add("type", int(m.type))
            .add("temporality", m.aggregation_temporality)
            .add("monotonic", m.is_monotonic ? "yes" : "")
            .json("metadata", m.metadata)
            .add("of", std::to_string(m.resource) + "/" + std::to_string(m.scope));
    for (const Series &s : batch.series)
        out.start("series").add("of", std::to_string(s.metric) + ".").json("attributes", s.attributes);
    for (const NumberPoint &p : batch.number_points)
        out.point("number", p)
            .add("floating", p.which == NumberPoint::Value::floating ? shown(p.floating) : "")
            .add("integer", p.which == NumberPoint::Value::integer ? std::to_string(p.integer) : "");
    for (const HistogramPoint &p : batch.histogram_points)
        out.point("histogram", p)
            .add("count", p.count)
            .optional(p)
            .add("counts", list_text(p.bucket_counts))
            .add("bounds", list_text(p.explicit_bounds));
    for (const ExponentialHistogramPoint &p : batch.exponential_histogram_points)
        out.point("exponential", p)
            .add("count", p.count)
            .optional(p)
            .add("scale", p.scale)
            .add("zeros", p.zero_count)
            .add("threshold", p.zero_threshold == 0 ? "" : shown(p.zero_threshold))
            .add("positive", std::to_string(p.positive_offset) + list_text(p.positive_counts))
            .add("negative", std::to_string(p.negative_offset) + list_text(p.negative_counts));
    for (const SummaryPoint &p : batch.summary_points)
        out.point("summary", p)
            .add("count", p.count)
            .add("sum", shown(p.sum))
            .add("quantiles", list_text(p.quantiles))
            .add("values", list_text(p.quantile_values));
    for (const LogRecord &l : batch.log_records)
        out.start("log")
            .add("time", l.time_unix_nano)
            .add("observed", l.observed_time_unix_nano)
            .add("severity", l.severity_number)
            .add("severity_text", l.severity_text)
            .add("event", l.event_name)
            .json("body", l.body)
            .json("attributes", l.attributes)
            .id("trace", l.trace_id)
            .id("id", l.span_id)
            .add("flags", l.flags)
            .add("dropped", l.dropped_attributes_count)
            .add("of", std::to_string(l.resource) + "/" + std::to_string(l.scope) + "/" + std::to_string(l.request));
    return out.text;
}

std::string message(const std::function<void(protozero::pbf_writer &)> &write) {
    std::string bytes;
    protozero::pbf_writer writer(bytes);
    write(writer);
    return bytes;
}

std::string string_attribute(const std::string &key, const std::string &value) {
    return message([&](auto &attribute) {
        attribute.add_string(1, key);
        attribute.add_message(2, message([&](auto &any) { any.add_string(1, value); }));
    });
}

namespace {

Outcome decode_kept(Signal signal, Encoding encoding, const std::string &body) {
    Outcome outcome;
    outcome.body = std::make_unique<const std::string>(body);
    outcome.decoded = decode(signal, encoding, *outcome.body, {}, outcome.batch);
    return outcome;
}

} // namespace

Outcome decode_protobuf(Signal signal, const std::string &body) {
    return decode_kept(signal, Encoding::protobuf, body);
}

Outcome decode_json(Signal signal, const std::string &body) {
    return decode_kept(signal, Encoding::json, body);
}

} // namespace dbnet::telemetry::test
