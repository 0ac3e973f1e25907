// Data points in JSON; see the header. Any process that takes telemetry.
#include "telemetry/otlp/otlp_json_points.hpp"

#include "telemetry/otlp/point_values.hpp"

namespace dbnet::telemetry::json {
namespace {

template<class Number> bool read_list(Intake &intake, const char *name, Value &list, std::vector<Number> &numbers) {
    numbers.clear();
    return list.each_element(intake, name,
                             [&](Value &element) { return element.read(intake, name, numbers.emplace_back()); });
}

// asDouble and asInt, of points and exemplars.
template<class Holder> bool read_number(Intake &intake, std::string_view key, Value &field, Holder &holder) {
    if (key == "asDouble") {
        holder.which = NumberPoint::Value::floating;
        return field.read(intake, "asDouble", holder.floating);
    }
    if (key == "asInt") {
        holder.which = NumberPoint::Value::integer;
        return field.read(intake, "asInt", holder.integer);
    }
    return true;
}

bool read_exemplar(Intake &intake, Value &value) {
    ExemplarWriter exemplar(intake);
    const bool is_kept = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (key == "timeUnixNano")
            return field.read(intake, "timeUnixNano", exemplar.time_unix_nano);
        if (key == "traceId")
            return field.read_id(intake, "traceId", exemplar.trace_id);
        if (key == "spanId")
            return field.read_id(intake, "spanId", exemplar.span_id);
        if (key == "filteredAttributes") {
            exemplar.clear_attributes();
            return add_attributes(intake, exemplar.attributes(), field);
        }
        return read_number(intake, key, field, exemplar);
    });
    if (!is_kept)
        return intake.within("exemplar");
    exemplar.end();
    return true;
}

bool set(Intake &intake, const char *name, Value &field, double &value, bool &has_value) {
    has_value = true;
    return field.read(intake, name, value);
}

// What only points of this type have. Lists are kept when the point is whole, for they may come twice.
struct Lists {
    std::vector<uint64_t> counts, negative_counts;
    std::vector<double> bounds, values;
};

bool read_field(Intake &intake, std::string_view key, Value &field, NumberPoint &point, Lists &) {
    return read_number(intake, key, field, point);
}

// count, sum, min and max.
template<class PointRecord> bool read_summed(Intake &intake, std::string_view key, Value &field, PointRecord &point) {
    if (key == "count")
        return field.read(intake, "count", point.count);
    if (key == "sum")
        return set(intake, "sum", field, point.sum, point.has_sum);
    if (key == "min")
        return set(intake, "min", field, point.min, point.has_min);
    return key != "max" || set(intake, "max", field, point.max, point.has_max);
}

bool read_field(Intake &intake, std::string_view key, Value &field, HistogramPoint &point, Lists &lists) {
    if (key == "bucketCounts")
        return read_list(intake, "bucketCounts", field, lists.counts);
    if (key == "explicitBounds")
        return read_list(intake, "explicitBounds", field, lists.bounds);
    return read_summed(intake, key, field, point);
}

bool read_buckets(Intake &intake, const char *name, Value &value, int32_t &offset, std::vector<uint64_t> &counts) {
    return value.each_field(intake, name, [&](std::string_view key, Value &field) {
        if (key == "offset")
            return field.read(intake, "offset", offset);
        return key != "bucketCounts" || read_list(intake, "bucketCounts", field, counts);
    });
}

bool read_field(Intake &intake, std::string_view key, Value &field, ExponentialHistogramPoint &point, Lists &lists) {
    if (key == "scale")
        return field.read(intake, "scale", point.scale);
    if (key == "zeroCount")
        return field.read(intake, "zeroCount", point.zero_count);
    if (key == "zeroThreshold")
        return field.read(intake, "zeroThreshold", point.zero_threshold);
    if (key == "positive")
        return read_buckets(intake, "positive", field, point.positive_offset, lists.counts);
    if (key == "negative")
        return read_buckets(intake, "negative", field, point.negative_offset, lists.negative_counts);
    return read_summed(intake, key, field, point);
}

bool read_field(Intake &intake, std::string_view key, Value &field, SummaryPoint &point, Lists &lists) {
    if (key == "count")
        return field.read(intake, "count", point.count);
    if (key == "sum")
        return field.read(intake, "sum", point.sum);
    if (key != "quantileValues")
        return true;
    lists.bounds.clear();
    lists.values.clear();
    return field.each_element(intake, "quantileValues", [&](Value &entry) {
        double &quantile = lists.bounds.emplace_back();
        double &value = lists.values.emplace_back();
        return entry.each_field(intake, "quantileValues", [&](std::string_view name, Value &number) {
            if (name == "quantile")
                return number.read(intake, "quantile", quantile);
            return name != "value" || number.read(intake, "value", value);
        });
    });
}

bool keep(Intake &, NumberPoint &, const Lists &) {
    return true;
}

bool keep(Intake &intake, HistogramPoint &point, const Lists &lists) {
    return keep_list(intake, lists.counts, point.bucket_counts) &&
           keep_list(intake, lists.bounds, point.explicit_bounds) && check_buckets(intake, point);
}

bool keep(Intake &intake, ExponentialHistogramPoint &point, const Lists &lists) {
    return keep_list(intake, lists.counts, point.positive_counts) &&
           keep_list(intake, lists.negative_counts, point.negative_counts);
}

bool keep(Intake &intake, SummaryPoint &point, const Lists &lists) {
    return keep_list(intake, lists.bounds, point.quantiles) && keep_list(intake, lists.values, point.quantile_values);
}

template<class PointRecord> void read_into(Intake &intake, std::vector<PointRecord> &list, Value &value) {
    PointRecord point = no_values<PointRecord>();
    Lists lists;
    const bool is_kept = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        if (key == "timeUnixNano")
            return field.read(intake, "timeUnixNano", point.time_unix_nano);
        if (key == "startTimeUnixNano")
            return field.read(intake, "startTimeUnixNano", point.start_time_unix_nano);
        if (key == "attributes")
            return read_attributes(intake, intake.item, field);
        if (key == "flags")
            return field.read(intake, "flags", point.flags);
        if (key == "exemplars") {
            intake.part.clear();
            return field.each_element(intake, "exemplars",
                                      [&](Value &exemplar) { return read_exemplar(intake, exemplar); });
        }
        return read_field(intake, key, field, point, lists);
    });
    intake.end_point(list, point, is_kept && keep(intake, point, lists));
}

} // namespace

void read_point(Intake &intake, MetricType type, Value &value) {
    intake.begin_point();
    switch (type) {
    case MetricType::gauge:
    case MetricType::sum:
        return read_into(intake, intake.batch.number_points, value);
    case MetricType::histogram:
        return read_into(intake, intake.batch.histogram_points, value);
    case MetricType::exponential_histogram:
        return read_into(intake, intake.batch.exponential_histogram_points, value);
    case MetricType::summary:
        return read_into(intake, intake.batch.summary_points, value);
    }
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
