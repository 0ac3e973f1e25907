// Metrics in both encodings: points of all five types, exemplars, series, what is rejected.
#include "telemetry_support.hpp"

#include <gtest/gtest.h>

namespace dbnet::telemetry::test::metrics {
namespace {

using Writer = protozero::pbf_writer;
using Fields = std::function<void(Writer &)>;

std::string attribute(const std::string &value) {
    return string_attribute("k", value);
}

// A metric "m" whose data is of the type with this field number.
std::string request(uint32_t type, const Fields &data) {
    return message([&](Writer &w) {
        w.add_message(1, message([&](Writer &r) {
                          r.add_message(2, message([&](Writer &s) {
                                            s.add_message(2, message([&](Writer &m) {
                                                              m.add_message(type, message(data));
                                                              m.add_string(
                                                                  1, "m"); // after the data: order does not matter
                                                              m.add_string(2, "about");
                                                              m.add_string(3, "ms");
                                                              m.add_message(12, attribute("meta"));
                                                          }));
                                        }));
                      }));
    });
}

std::string json_request(const std::string &type, const std::string &data) {
    return R"({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{")" + type + "\": " + data +
           R"(, "name": "m", "description": "about", "unit": "ms", "metadata": [{"key": "k", "value": {"stringValue": "meta"}}]}]}]}]})";
}

const std::string trace_id("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
const std::string metric_owners = "resource\nscope\nmetric name=m description=about unit=ms ";
const std::string json_attributes =
    R"("attributes": [{"key": "k", "value": {"stringValue": "a"}}], "timeUnixNano": "5", "startTimeUnixNano": 4, "flags": 1)";

void times(Writer &p) {
    p.add_fixed64(2, 4);
    p.add_fixed64(3, 5);
}

void expect_both(uint32_t type, const Fields &data, const std::string &name, const std::string &json,
                 const std::string &text) {
    const Outcome protobuf = decode_protobuf(Signal::metrics, request(type, data));
    EXPECT_EQ(protobuf.decoded.message, "");
    EXPECT_EQ(text_of(protobuf.batch), metric_owners + text);
    const Outcome from_json = decode_json(Signal::metrics, json_request(name, json));
    EXPECT_EQ(from_json.decoded.message, "");
    EXPECT_EQ(text_of(from_json.batch), metric_owners + text);
    EXPECT_EQ(from_json.batch.series.at(0).hash, protobuf.batch.series.at(0).hash);
}

TEST(TelemetryMetrics, Sum) {
    expect_both(
        7,
        [](Writer &d) {
            d.add_message(1, message([](Writer &p) {
                              times(p);
                              p.add_message(7, attribute("a"));
                              p.add_uint32(8, 1);
                              p.add_double(4, 1.5);
                              p.add_sfixed64(6, -7); // the last one wins
                              p.add_message(5, message([](Writer &e) {
                                                e.add_fixed64(2, 9);
                                                e.add_double(3, 0.5);
                                                e.add_bytes(4, "12345678");
                                                e.add_bytes(5, trace_id);
                                                e.add_message(7, attribute("x"));
                                            }));
                              p.add_message(5, std::string());
                          }));
            d.add_message(1, message([](Writer &p) { p.add_double(4, 2.5); }));
            d.add_message(1, message([](Writer &p) { p.add_message(7, attribute("a")); }));
            d.add_enum(2, 2);
            d.add_bool(3, true);
        },
        "sum",
        R"({"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": [{)" + json_attributes +
            R"(, "asDouble": 1.5, "asInt": "-7", "exemplars": [{"timeUnixNano": 9, "asDouble": 0.5, "spanId": "3132333435363738",
          "traceId": "00112233445566778899aabbccddeeff", "filteredAttributes": [{"key": "k", "value": {"stringValue": "x"}}]}, {}]},
          {"asDouble": "2.5"}, {"attributes": [{"key": "k", "value": {"stringValue": "a"}}]}]})",
        "type=2 temporality=2 monotonic=yes metadata={\"k\": \"meta\"} of=0/0\n"
        "series of=0. attributes={\"k\": \"a\"}\nseries of=0.\n"
        "number series=0. time=5 start=4 flags=1 exemplars=[{\"value\": 0.5, \"span_id\": \"3132333435363738\", "
        "\"trace_id\": \"00112233445566778899aabbccddeeff\", \"time_unix_nano\": 9, \"filtered_attributes\": {\"k\": "
        "\"x\"}}, {}] integer=-7\n"
        "number series=1. floating=2.5\nnumber series=0.");
}

TEST(TelemetryMetrics, Histogram) {
    const double bounds[] = {1, 2.5};
    const uint64_t counts[] = {1, UINT64_MAX, 3};
    expect_both(
        9,
        [&](Writer &d) {
            d.add_message(1, message([&](Writer &p) {
                              times(p);
                              p.add_message(9, attribute("a"));
                              p.add_uint32(10, 1);
                              p.add_fixed64(4, UINT64_MAX);
                              p.add_double(5, 10);
                              p.add_packed_fixed64(6, counts, counts + 2);
                              p.add_fixed64(6, counts[2]); // and unpacked
                              p.add_packed_double(7, bounds, bounds + 2);
                              p.add_double(12, 4);
                          }));
            d.add_enum(2, 1);
        },
        "histogram",
        R"({"aggregationTemporality": 1, "dataPoints": [{)" + json_attributes +
            R"(, "count": "18446744073709551615", "sum": 10, "max": 4, "bucketCounts": ["1", 18446744073709551615, 3], "explicitBounds": [1, "2.5"]}]})",
        "type=3 temporality=1 metadata={\"k\": \"meta\"} of=0/0\nseries of=0. attributes={\"k\": \"a\"}\n"
        "histogram series=0. time=5 start=4 flags=1 count=18446744073709551615 sum=10 max=4 counts=[1 "
        "18446744073709551615 3] bounds=[1 2.5]");
}

TEST(TelemetryMetrics, ExponentialHistogram) {
    const uint64_t counts[] = {1, 0, 300};
    expect_both(
        10,
        [&](Writer &d) {
            d.add_message(1, message([&](Writer &p) {
                              p.add_message(1, attribute("a"));
                              times(p);
                              p.add_uint32(10, 1);
                              p.add_fixed64(4, 305);
                              p.add_sint32(6, -2);
                              p.add_fixed64(7, 4);
                              p.add_message(8, message([&](Writer &b) {
                                                b.add_sint32(1, -5);
                                                b.add_packed_uint64(2, counts, counts + 3);
                                            }));
                              p.add_message(9, message([](Writer &b) { b.add_uint64(2, 8); }));
                              p.add_double(12, -1);
                              p.add_double(14, 0.25);
                          }));
            d.add_enum(2, 2);
        },
        "exponentialHistogram",
        R"({"aggregationTemporality": 2, "dataPoints": [{)" + json_attributes +
            R"(, "count": 305, "scale": -2, "zeroCount": "4", "min": -1, "zeroThreshold": 0.25,
          "positive": {"offset": -5, "bucketCounts": ["1", "0", "300"]}, "negative": {"bucketCounts": [8]}}]})",
        "type=4 temporality=2 metadata={\"k\": \"meta\"} of=0/0\nseries of=0. attributes={\"k\": \"a\"}\n"
        "exponential series=0. time=5 start=4 flags=1 count=305 min=-1 scale=-2 zeros=4 threshold=0.25 positive=-5[1 0 "
        "300] negative=0[8]");
}

TEST(TelemetryMetrics, SummaryAndGauge) {
    expect_both(
        11,
        [](Writer &d) {
            d.add_message(1, message([](Writer &p) {
                              times(p);
                              p.add_message(7, attribute("a"));
                              p.add_uint32(8, 1);
                              p.add_fixed64(4, 3);
                              p.add_double(5, 6);
                              p.add_message(6, message([](Writer &q) {
                                                q.add_double(1, 0.5);
                                                q.add_double(2, 2);
                                            }));
                              p.add_message(6, std::string());
                          }));
        },
        "summary",
        R"({"dataPoints": [{)" + json_attributes +
            R"(, "count": 3, "sum": 6, "quantileValues": [{"quantile": 0.5, "value": 2}, {}]}]})",
        "type=5 metadata={\"k\": \"meta\"} of=0/0\nseries of=0. attributes={\"k\": \"a\"}\n"
        "summary series=0. time=5 start=4 flags=1 count=3 sum=6 quantiles=[0.5 0] values=[2 0]");
    expect_both(
        5, [](Writer &d) { d.add_message(1, message([](Writer &p) { p.add_double(4, -0.5); })); }, "gauge",
        R"({"dataPoints": [{"asDouble": -0.5}]})",
        "type=1 metadata={\"k\": \"meta\"} of=0/0\nseries of=0.\nnumber series=0. floating=-0.5");
}

TEST(TelemetryMetrics, OfTwoTypesTheLastIsTaken) {
    const std::string two =
        R"({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {"dataPoints": [{}, {}]},
        "summary": {"dataPoints": [{"count": 1}]}}]}]}]})";
    EXPECT_EQ(text_of(decode_json(Signal::metrics, two).batch),
              "resource\nscope\nmetric name=m type=5 of=0/0\nseries of=0.\n"
              "summary series=0. count=1 quantiles=[] values=[]");
    const std::string none =
        R"({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "m", "gauge": {}}, {"name": "n"}]}]}]})";
    EXPECT_EQ(text_of(decode_json(Signal::metrics, none).batch), "resource\nscope");
}

TEST(TelemetryMetrics, BadPointsAreRejectedAlone) {
    const auto reason = [](const std::string &type, const std::string &point) {
        const Outcome outcome =
            decode_json(Signal::metrics, json_request(type, R"({"dataPoints": [{"count": 1}, )" + point + "]}"));
        EXPECT_EQ(outcome.decoded.taken, 1);
        EXPECT_EQ(outcome.decoded.rejected, 1);
        const std::string start =
            "1 of 2 data points rejected. resourceMetrics[0].scopeMetrics[0].metrics[0].dataPoints[1]: ";
        EXPECT_EQ(outcome.decoded.message.substr(0, start.size()), start);
        return outcome.decoded.message.substr(start.size());
    };
    EXPECT_EQ(reason("gauge", R"({"asInt": 1.5})"), "asInt is no integer of 64 bits.");
    EXPECT_EQ(reason("gauge", R"({"exemplars": [{"traceId": "xyz"}]})"),
              "exemplar: traceId has 3 characters instead of 32 hexadecimal digits.");
    EXPECT_EQ(reason("histogram", R"({"bucketCounts": [1, 2, 3], "explicitBounds": [1]})"),
              "there are 3 bucket_counts for 1 explicit_bounds; there must be one more.");
    EXPECT_EQ(reason("histogram", R"({"bucketCounts": [-1]})"), "bucketCounts is no unsigned integer of 64 bits.");
    EXPECT_EQ(reason("summary", R"({"quantileValues": [{"quantile": "x"}]})"), "quantile is no number.");
    // A metric that cannot be kept costs its points, and no other's.
    const std::string bad =
        R"({"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "good", "gauge": {"dataPoints": [{}]}},
        {"name": "bad", "unit": 5, "gauge": {"dataPoints": [{}, {}]}}, {"name": "good", "gauge": {"dataPoints": [{"asInt": 1}]}}]}]}]})";
    const Outcome outcome = decode_json(Signal::metrics, bad);
    EXPECT_EQ(outcome.decoded.message,
              "2 of 4 data points rejected. resourceMetrics[0].scopeMetrics[0].metrics[1] \"bad\": unit is no string.");
    EXPECT_EQ(
        text_of(outcome.batch),
        "resource\nscope\nmetric name=good type=1 of=0/0\nseries of=0.\nnumber series=0.\nnumber series=0. integer=1");
}

} // namespace
} // namespace dbnet::telemetry::test::metrics
