// Metrics in protobuf: the metric and its data. Points are read in otlp_protobuf_points.cpp. Any process that takes
// telemetry.
#include "telemetry/otlp/otlp_protobuf_points.hpp"

namespace dbnet::telemetry::protobuf {
namespace {

// The messages Gauge, Sum, Histogram, ExponentialHistogram and Summary: fields that one has no other uses otherwise.
void read_data(Intake &intake, std::string_view bytes, MetricType type, Metric &metric) {
    intake.begin_data(type);
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            read_point(intake, type, reader.bytes());
            break;
        case varint_field(2):
            metric.aggregation_temporality = static_cast<int16_t>(reader.get_enum());
            break;
        case varint_field(3):
            metric.is_monotonic = reader.get_bool();
            break;
        default:
            reader.skip();
        }
    }
}

} // namespace

void read_metric(Intake &intake, std::string_view bytes) {
    intake.begin_metric();
    Metric metric{};
    const auto data = [&](Reader &reader, MetricType type) { read_data(intake, reader.bytes(), type, metric); };
    bool is_kept = true;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case bytes_field(1):
            metric.name = intake.text(reader.bytes());
            break;
        case bytes_field(2):
            metric.description = intake.text(reader.bytes());
            break;
        case bytes_field(3):
            metric.unit = intake.text(reader.bytes());
            break;
        case bytes_field(5):
            data(reader, MetricType::gauge);
            break;
        case bytes_field(7):
            data(reader, MetricType::sum);
            break;
        case bytes_field(9):
            data(reader, MetricType::histogram);
            break;
        case bytes_field(10):
            data(reader, MetricType::exponential_histogram);
            break;
        case bytes_field(11):
            data(reader, MetricType::summary);
            break;
        case bytes_field(12):
            is_kept = is_kept && read_attribute(intake, intake.metadata, reader.bytes());
            break;
        default:
            reader.skip();
        }
    }
    intake.end_metric(metric, is_kept);
}

} // namespace dbnet::telemetry::protobuf

#include "pg/no_postgres.hpp"
