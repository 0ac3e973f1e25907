// Metrics in JSON: the metric and its data. Points are read in otlp_json_points.cpp. Any process that takes telemetry.
#include "telemetry/otlp/otlp_json_points.hpp"

namespace dbnet::telemetry::json {
namespace {

bool read_data(Intake &intake, Value &data, MetricType type, Metric &metric) {
    intake.begin_data(type);
    return data.each_field(intake, "data", [&](std::string_view key, Value &field) {
        if (key == "dataPoints")
            return field.each_element(intake, "dataPoints", [&](Value &point) {
                read_point(intake, type, point);
                return true;
            });
        if (key == "aggregationTemporality")
            return field.read_enumeration(intake, "aggregationTemporality", metric.aggregation_temporality);
        return key != "isMonotonic" || field.read(intake, "isMonotonic", metric.is_monotonic);
    });
}

bool read_field(Intake &intake, std::string_view key, Value &field, Metric &metric) {
    if (key == "name")
        return field.read(intake, "name", metric.name);
    if (key == "description")
        return field.read(intake, "description", metric.description);
    if (key == "unit")
        return field.read(intake, "unit", metric.unit);
    if (key == "metadata")
        return read_attributes(intake, intake.metadata, field);
    constexpr std::pair<std::string_view, MetricType> types[] = {
        {"gauge", MetricType::gauge},         {"sum", MetricType::sum},
        {"histogram", MetricType::histogram}, {"exponentialHistogram", MetricType::exponential_histogram},
        {"summary", MetricType::summary},
    };
    for (const auto &[name, type] : types)
        if (key == name)
            return read_data(intake, field, type, metric);
    return true;
}

} // namespace

void read_metric(Intake &intake, Value &value) {
    intake.begin_metric();
    Metric metric{};
    bool is_kept = true;
    const bool is_object = value.each_field(intake, "it", [&](std::string_view key, Value &field) {
        is_kept = read_field(intake, key, field, metric) && is_kept; // all, for its name and to count what is lost
        return true;
    });
    intake.end_metric(metric, is_object && is_kept);
}

} // namespace dbnet::telemetry::json

#include "pg/no_postgres.hpp"
