// Data points in protobuf; see the header. Any process that takes telemetry.
#include "telemetry/otlp/otlp_protobuf_points.hpp"

#include "telemetry/otlp/point_values.hpp"

namespace dbnet::telemetry::protobuf {
namespace {

bool read_exemplar(Intake &intake, std::string_view bytes) {
    ExemplarWriter exemplar(intake);
    Reader reader(bytes);
    while (reader.next()) {
        bool is_good = true;
        switch (reader.tag_and_type()) {
        case fixed64_field(2):
            exemplar.time_unix_nano = reader.get_fixed64();
            break;
        case fixed64_field(3):
            exemplar.which = NumberPoint::Value::floating;
            exemplar.floating = reader.get_double();
            break;
        case bytes_field(4):
            is_good = read_id(intake, "span_id", reader.bytes(), exemplar.span_id);
            break;
        case bytes_field(5):
            is_good = read_id(intake, "trace_id", reader.bytes(), exemplar.trace_id);
            break;
        case fixed64_field(6):
            exemplar.which = NumberPoint::Value::integer;
            exemplar.integer = reader.get_sfixed64();
            break;
        case bytes_field(7):
            is_good = read_attribute(intake, exemplar.attributes(), reader.bytes());
            break;
        default:
            reader.skip();
        }
        if (!is_good)
            return intake.within("exemplar");
    }
    exemplar.end();
    return true;
}

// Fields that the types have under other numbers.
struct Numbers {
    uint32_t attributes, exemplars, flags;
};

// A field that points of several types have; false: none of these. `is_good` becomes false when it is refused.
bool read_common(Intake &intake, Reader &reader, Point &point, const Numbers &numbers, bool &is_good) {
    const uint32_t field = reader.tag_and_type();
    if (field == fixed64_field(2))
        point.start_time_unix_nano = reader.get_fixed64();
    else if (field == fixed64_field(3))
        point.time_unix_nano = reader.get_fixed64();
    else if (field == bytes_field(numbers.attributes))
        is_good = read_attribute(intake, intake.item, reader.bytes());
    else if (field == bytes_field(numbers.exemplars))
        is_good = read_exemplar(intake, reader.bytes());
    else if (field == varint_field(numbers.flags))
        point.flags = reader.get_uint32();
    else
        return false;
    return true;
}

// Walks a point's message; `read_own` reads a field that only this type has. False: the point is refused.
template<class ReadOwn>
bool read_all(Intake &intake, Reader &reader, Point &point, const Numbers &numbers, ReadOwn read_own) {
    while (reader.next()) {
        bool is_good = true;
        if (!read_common(intake, reader, point, numbers, is_good))
            read_own();
        if (!is_good)
            return false;
    }
    return true;
}

void set(Reader &reader, double &value, bool &has_value) {
    value = reader.get_double();
    has_value = true;
}

bool read_fields(Intake &intake, Reader reader, NumberPoint &point) {
    constexpr Numbers numbers{7, 5, 8};
    const bool is_good = read_all(intake, reader, point, numbers, [&] {
        switch (reader.tag_and_type()) {
        case fixed64_field(4):
            point.which = NumberPoint::Value::floating;
            point.floating = reader.get_double();
            break;
        case fixed64_field(6):
            point.which = NumberPoint::Value::integer;
            point.integer = reader.get_sfixed64();
            break;
        default:
            reader.skip();
        }
    });
    return is_good;
}

bool read_fields(Intake &intake, Reader reader, HistogramPoint &point) {
    constexpr Numbers numbers{9, 8, 10};
    std::vector<uint64_t> counts;
    std::vector<double> bounds;
    const bool is_good = read_all(intake, reader, point, numbers, [&] {
        switch (reader.tag_and_type()) {
        case fixed64_field(4):
            point.count = reader.get_fixed64();
            break;
        case fixed64_field(5):
            set(reader, point.sum, point.has_sum);
            break;
        case bytes_field(6):
            for (const uint64_t count : reader.get_packed_fixed64())
                counts.push_back(count);
            break;
        case fixed64_field(6):
            counts.push_back(reader.get_fixed64());
            break;
        case bytes_field(7):
            for (const double bound : reader.get_packed_double())
                bounds.push_back(bound);
            break;
        case fixed64_field(7):
            bounds.push_back(reader.get_double());
            break;
        case fixed64_field(11):
            set(reader, point.min, point.has_min);
            break;
        case fixed64_field(12):
            set(reader, point.max, point.has_max);
            break;
        default:
            reader.skip();
        }
    });
    return is_good && keep_list(intake, counts, point.bucket_counts) &&
           keep_list(intake, bounds, point.explicit_bounds) && check_buckets(intake, point);
}

void read_buckets(std::string_view bytes, int32_t &offset, std::vector<uint64_t> &counts) {
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case varint_field(1):
            offset = reader.get_sint32();
            break;
        case bytes_field(2):
            for (const uint64_t count : reader.get_packed_uint64())
                counts.push_back(count);
            break;
        case varint_field(2):
            counts.push_back(reader.get_uint64());
            break;
        default:
            reader.skip();
        }
    }
}

bool read_fields(Intake &intake, Reader reader, ExponentialHistogramPoint &point) {
    constexpr Numbers numbers{1, 11, 10};
    std::vector<uint64_t> positive, negative;
    const bool is_good = read_all(intake, reader, point, numbers, [&] {
        switch (reader.tag_and_type()) {
        case fixed64_field(4):
            point.count = reader.get_fixed64();
            break;
        case fixed64_field(5):
            set(reader, point.sum, point.has_sum);
            break;
        case varint_field(6):
            point.scale = reader.get_sint32();
            break;
        case fixed64_field(7):
            point.zero_count = reader.get_fixed64();
            break;
        case bytes_field(8):
            read_buckets(reader.bytes(), point.positive_offset, positive);
            break;
        case bytes_field(9):
            read_buckets(reader.bytes(), point.negative_offset, negative);
            break;
        case fixed64_field(12):
            set(reader, point.min, point.has_min);
            break;
        case fixed64_field(13):
            set(reader, point.max, point.has_max);
            break;
        case fixed64_field(14):
            point.zero_threshold = reader.get_double();
            break;
        default:
            reader.skip();
        }
    });
    return is_good && keep_list(intake, positive, point.positive_counts) &&
           keep_list(intake, negative, point.negative_counts);
}

void read_quantile(std::string_view bytes, std::vector<double> &quantiles, std::vector<double> &values) {
    double quantile = 0, value = 0;
    Reader reader(bytes);
    while (reader.next()) {
        switch (reader.tag_and_type()) {
        case fixed64_field(1):
            quantile = reader.get_double();
            break;
        case fixed64_field(2):
            value = reader.get_double();
            break;
        default:
            reader.skip();
        }
    }
    quantiles.push_back(quantile);
    values.push_back(value);
}

bool read_fields(Intake &intake, Reader reader, SummaryPoint &point) {
    constexpr Numbers numbers{7, 0, 8};
    std::vector<double> quantiles, values;
    const bool is_good = read_all(intake, reader, point, numbers, [&] {
        switch (reader.tag_and_type()) {
        case fixed64_field(4):
            point.count = reader.get_fixed64();
            break;
        case fixed64_field(5):
            point.sum = reader.get_double();
            break;
        case bytes_field(6):
            read_quantile(reader.bytes(), quantiles, values);
            break;
        default:
            reader.skip();
        }
    });
    return is_good && keep_list(intake, quantiles, point.quantiles) && keep_list(intake, values, point.quantile_values);
}

template<class PointRecord> void read_into(Intake &intake, std::vector<PointRecord> &list, std::string_view bytes) {
    PointRecord point = no_values<PointRecord>();
    const bool is_kept = read_fields(intake, Reader(bytes), point);
    intake.end_point(list, point, is_kept);
}

} // namespace

void read_point(Intake &intake, MetricType type, std::string_view bytes) {
    intake.begin_point();
    switch (type) {
    case MetricType::gauge:
    case MetricType::sum:
        return read_into(intake, intake.batch.number_points, bytes);
    case MetricType::histogram:
        return read_into(intake, intake.batch.histogram_points, bytes);
    case MetricType::exponential_histogram:
        return read_into(intake, intake.batch.exponential_histogram_points, bytes);
    case MetricType::summary:
        return read_into(intake, intake.batch.summary_points, bytes);
    }
}

} // namespace dbnet::telemetry::protobuf

#include "pg/no_postgres.hpp"
