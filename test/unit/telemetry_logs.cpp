// Log records in both encodings, and the bodies that requests are answered with.
#include "telemetry_support.hpp"

#include <gtest/gtest.h>

#include <protozero/pbf_reader.hpp>

namespace dbnet::telemetry::test::logs {
namespace {

using Writer = protozero::pbf_writer;

std::string request(const std::vector<std::string> &records) {
    return message([&](Writer &w) {
        w.add_message(1, message([&](Writer &r) {
                          r.add_message(2, message([&](Writer &s) {
                                            for (const std::string &record : records)
                                                s.add_message(2, record);
                                        }));
                      }));
    });
}

std::string json_request(const std::string &records) {
    return R"({"resourceLogs": [{"scopeLogs": [{"logRecords": [)" + records + "]}]}]}";
}

const std::string trace_id("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);

TEST(TelemetryLogs, EveryField) {
    const std::string all = message([](Writer &w) {
        w.add_fixed64(1, 5);
        w.add_fixed64(11, 6);
        w.add_enum(2, 17);
        w.add_string(3, "ERROR");
        w.add_message(5, message([](Writer &b) { b.add_string(1, "it broke"); }));
        w.add_message(6, string_attribute("k", "v"));
        w.add_uint32(7, 2);
        w.add_fixed32(8, 1);
        w.add_bytes(9, trace_id);
        w.add_bytes(10, "12345678");
        w.add_string(12, "event");
    });
    const std::string structured = message([](Writer &w) {
        w.add_message(5, message([](Writer &b) {
                          b.add_message(6, message([](Writer &m) { m.add_message(1, string_attribute("a", "b")); }));
                      }));
    });
    const std::string empty_body = message([](Writer &w) { w.add_message(5, std::string()); });
    const std::string text =
        "resource\nscope\nlog time=5 observed=6 severity=17 severity_text=ERROR event=event body=\"it broke\""
        " attributes={\"k\": \"v\"} trace=00112233445566778899aabbccddeeff id=3132333435363738 flags=1 dropped=2 "
        "of=0/0/0\n"
        "log body={\"a\": \"b\"} of=0/0/0\nlog body=null of=0/0/0\nlog of=0/0/0";
    const Outcome protobuf = decode_protobuf(Signal::logs, request({all, structured, empty_body, ""}));
    EXPECT_EQ(protobuf.decoded.taken, 4);
    EXPECT_EQ(protobuf.decoded.message, "");
    EXPECT_EQ(text_of(protobuf.batch), text);
    const Outcome json = decode_json(
        Signal::logs, json_request(R"({"timeUnixNano": "5", "observedTimeUnixNano": "6", "severityNumber": 17,
        "severityText": "ERROR", "body": {"stringValue": "it broke"}, "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
        "droppedAttributesCount": 2, "flags": 1, "traceId": "00112233445566778899AABBCCDDEEFF", "spanId": "3132333435363738", "eventName": "event"},
        {"body": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}}, {"body": {}}, {"body": null})"));
    EXPECT_EQ(json.decoded.message, "");
    EXPECT_EQ(text_of(json.batch), text);
}

TEST(TelemetryLogs, BadRecordsAreRejectedAlone) {
    const Outcome outcome = decode_json(
        Signal::logs,
        json_request(R"({"eventName": "e", "severityNumber": "INFO"}, {}, {"body": "text"}, {"flags": -1})"));
    EXPECT_EQ(outcome.decoded.taken, 1);
    EXPECT_EQ(outcome.decoded.message,
              "3 of 4 log records rejected. resourceLogs[0].scopeLogs[0].logRecords[0] \"e\": severityNumber is no "
              "integer; OTLP has "
              "enumerations as numbers. resourceLogs[0].scopeLogs[0].logRecords[2]: body: value is no object. "
              "resourceLogs[0].scopeLogs[0].logRecords[3]: flags is no unsigned integer of 32 bits.");
}

// As the protocol has it: an id that is none says that the record is of no trace.
TEST(TelemetryLogs, ABadIdCostsTheIdAlone) {
    const Outcome json =
        decode_json(Signal::logs,
                    json_request(R"({"eventName": "a", "traceId": "00112233445566778899AABBCCDDEEFF", "spanId": "3132"},
            {"eventName": "b", "traceId": "ABEiM0RVZneImaq7zN3u/w==", "spanId": "3132333435363738"},
            {"eventName": "c", "traceId": "", "spanId": 7})"));
    const auto record = [](const char *name, const std::string &trace, const std::string &span) {
        return message([&](Writer &w) {
            w.add_string(12, name);
            w.add_bytes(9, trace);
            w.add_bytes(10, span);
        });
    };
    const Outcome protobuf = decode_protobuf(
        Signal::logs, request({record("a", trace_id, "12"), record("b", std::string(32, '0'), "12345678"),
                               record("c", "", "123456789")}));
    for (const Outcome *outcome : {&json, &protobuf}) {
        EXPECT_EQ(outcome->decoded.rejected, 0);
        EXPECT_EQ(outcome->decoded.message,
                  "3 ids of log records had another length or other digits: they were kept without.");
        EXPECT_EQ(text_of(outcome->batch),
                  "resource\nscope\nlog event=a trace=00112233445566778899aabbccddeeff of=0/0/0\n"
                  "log event=b id=3132333435363738 of=0/0/0\nlog event=c of=0/0/0");
    }
}

TEST(TelemetryLogs, ManyReasonsStayShort) {
    std::string records;
    for (int i = 0; i < 1000; ++i)
        records +=
            std::string(i > 0 ? ", " : "") + R"({"eventName": ")" + std::string(5000, 'x') + R"(", "flags": "x"})";
    const Outcome outcome = decode_json(Signal::logs, json_request(records));
    EXPECT_EQ(outcome.decoded.rejected, 1000);
    EXPECT_LT(outcome.decoded.message.size(), 2000u);
    EXPECT_TRUE(outcome.decoded.message.ends_with("More were rejected, for these or other reasons."));
    EXPECT_NE(outcome.decoded.message.find("\"" + std::string(80, 'x') + "...\""), std::string::npos);
}

TEST(TelemetryLogs, Endless) {
    // Two bytes a record in the body.
    std::string scope;
    for (int i = 0; i < 1'000'010; ++i)
        scope += std::string("\x12\x00", 2);
    const std::string body =
        message([&](Writer &w) { w.add_message(1, message([&](Writer &r) { r.add_message(2, scope); })); });
    const Outcome outcome = decode_protobuf(Signal::logs, body);
    EXPECT_EQ(outcome.decoded.taken, 1'000'000);
    EXPECT_EQ(outcome.decoded.rejected, 10);
    EXPECT_NE(outcome.decoded.message.find("the request holds more than 1000000 records; send smaller ones"),
              std::string::npos);
}

TEST(TelemetryLogs, EndlessResources) {
    const auto resource = [](int number) {
        return message([&](Writer &w) {
            w.add_message(1, message([&](Writer &r) { r.add_uint32(2, static_cast<uint32_t>(number)); }));
            w.add_message(2, std::string("\x12\x00", 2)); // a scope with a record
        });
    };
    const std::string body = message([&](Writer &w) {
        for (int i = 0; i < 100'010; ++i)
            w.add_message(1, resource(i));
    });
    Outcome outcome = decode_protobuf(Signal::logs, body);
    EXPECT_EQ(outcome.batch.resources.size(), 99'999u); // and the scope
    EXPECT_EQ(outcome.decoded.taken, 99'999);
    EXPECT_EQ(outcome.decoded.rejected, 11);
    EXPECT_NE(outcome.decoded.message.find("the request holds more than 100000 resources and scopes; send smaller"),
              std::string::npos);
    EXPECT_EQ(outcome.batch.records(), 199'999u);
}

TEST(TelemetryBatch, KeepsALittle) {
    Batch batch;
    batch.encode = [](std::string_view text, Arena &) { return text; };
    batch.spans.resize(1000);
    batch.clear();
    EXPECT_EQ(batch.spans.capacity(), 1000u);
    batch.log_records.resize(1'000'000);
    batch.clear();
    EXPECT_EQ(batch.footprint(), 0u);
    EXPECT_NE(batch.encode, nullptr);
}

TEST(TelemetryResponse, Bodies) {
    Decoded full, partial, warning;
    partial.rejected = 3;
    partial.message = "a \"bad\"\n one";
    warning.message = "careful";
    EXPECT_EQ(response_body(Signal::traces, Encoding::json, full), "{}");
    EXPECT_EQ(response_body(Signal::traces, Encoding::protobuf, full), "");
    EXPECT_EQ(response_body(Signal::traces, Encoding::json, partial),
              R"({"partialSuccess":{"rejectedSpans":"3","errorMessage":"a \"bad\"\u000a one"}})");
    EXPECT_EQ(response_body(Signal::metrics, Encoding::json, partial),
              R"({"partialSuccess":{"rejectedDataPoints":"3","errorMessage":"a \"bad\"\u000a one"}})");
    EXPECT_EQ(response_body(Signal::logs, Encoding::json, warning), R"({"partialSuccess":{"errorMessage":"careful"}})");
    EXPECT_EQ(response_body(Signal::logs, Encoding::protobuf, partial), "\x0a\x10\x08\x03\x12\x0c"
                                                                        "a \"bad\"\n one");
    EXPECT_EQ(status_body(Encoding::json, 14, "no"), R"({"code":14,"message":"no"})");
    EXPECT_EQ(status_body(Encoding::protobuf, 14, "no"), "\x08\x0e\x12\x02no");
    EXPECT_EQ(status_body(Encoding::json, invalid_argument, "\"no\"", "resourceSpans[0]"),
              R"({"code":3,"message":"\"no\"","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest",)"
              R"("fieldViolations":[{"field":"resourceSpans[0]","description":"\"no\""}]}]})");
    EXPECT_EQ(status_body(Encoding::json, invalid_argument, "no"),
              R"({"code":3,"message":"no","details":[{"@type":"type.googleapis.com/google.rpc.BadRequest",)"
              R"("fieldViolations":[{"description":"no"}]}]})");
    partial.message = std::string(2047, 'x') + "€" + std::string(10000, 'x');
    EXPECT_EQ(response_body(Signal::logs, Encoding::protobuf, partial).size(), 2047u + 2 + 3 + 3); // not within the €
    EXPECT_LT(response_body(Signal::logs, Encoding::json, partial).size(), 4096u);
}

} // namespace
} // namespace dbnet::telemetry::test::logs
