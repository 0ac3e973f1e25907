// What points of both encodings hold besides single values: lists that move into the arena, and exemplars. Pure C++.
#pragma once

#include "telemetry/otlp/intake.hpp"

#include <limits>

namespace dbnet::telemetry {

// Buckets, bounds or quantiles of one point; nothing that measures has as many.
constexpr size_t most_buckets = 100'000;

// The values, copied; false: refused, for there are too many.
template<class T> bool keep_list(Intake &intake, const std::vector<T> &values, List<T> &list) {
    if (values.size() > most_buckets)
        return intake.refuse("more than " + std::to_string(most_buckets) + " values in a list");
    list = {};
    if (values.empty())
        return true;
    char *const copy = intake.batch.arena.allocate(values.size() * sizeof(T));
    std::memcpy(copy, values.data(), values.size() * sizeof(T));
    list = {reinterpret_cast<const T *>(copy), static_cast<uint32_t>(values.size())};
    return true;
}

// A point before its fields are read: optional numbers are NaN.
template<class PointRecord> PointRecord no_values() {
    PointRecord point{};
    if constexpr (requires { point.has_sum; })
        point.sum = point.min = point.max = std::numeric_limits<double>::quiet_NaN();
    return point;
}

// Of a HistogramPoint: bounds lie between buckets. Without buckets there is nothing to be wrong with.
inline bool check_buckets(Intake &intake, const HistogramPoint &point) {
    return point.bucket_counts.count == 0 || point.bucket_counts.count == point.explicit_bounds.count + 1 ||
           intake.refuse("there are " + std::to_string(point.bucket_counts.count) + " bucket_counts for " +
                         std::to_string(point.explicit_bounds.count) + " explicit_bounds; there must be one more");
}

// An exemplar is an object in the array of its point: filtered_attributes, time_unix_nano, value, span_id, trace_id, as
// far as they were sent; ids in hexadecimal.
class ExemplarWriter {
public:
    explicit ExemplarWriter(Intake &intake);
    // What is added to it before end() is an attribute each.
    JsonbBuilder &attributes() noexcept { return builder_; }
    void clear_attributes() noexcept { builder_.rewind(attributes_ + 1); }

    uint64_t time_unix_nano = 0;
    NumberPoint::Value which = NumberPoint::Value::none;
    double floating = 0;
    int64_t integer = 0;
    TraceId trace_id{};
    SpanId span_id{};

    void end(); // once, after all of it

private:
    Intake &intake_;
    JsonbBuilder &builder_;
    uint32_t position_, attributes_;
};

} // namespace dbnet::telemetry
