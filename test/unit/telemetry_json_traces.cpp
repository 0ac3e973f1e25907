// Spans from JSON: the rules that differ from protobuf's, what is rejected alone and what makes a body unreadable.
#include "telemetry_support.hpp"

#include <gtest/gtest.h>

namespace dbnet::telemetry::test {
namespace {

const std::string ids = R"("traceId": "00112233445566778899AABBCCDDEEFF", "spanId": "0102030405060708")";

std::string request(const std::string &spans) {
    return R"({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeSpans": [{"scope": {"name": "http"}, "spans": [)" +
           spans + "]}]}]}";
}

std::string span(const std::string &more) {
    return "{" + ids + ", \"name\": \"GET /\"" + (more.empty() ? "" : ", ") + more + "}";
}

constexpr const char *owners = "resource service=shop attributes={\"service.name\": \"shop\"}\nscope name=http\n";
constexpr const char *plain_span =
    "span trace=00112233445566778899aabbccddeeff id=0102030405060708 name=GET / of=0/0/0";

std::string attributes(const std::string &list) {
    const Outcome outcome = decode_json(Signal::traces, request(span("\"attributes\": [" + list + "]")));
    return outcome.batch.spans.empty() ? outcome.decoded.message : text_of(outcome.batch.spans[0].attributes);
}

std::string value(const std::string &any) {
    return attributes("{\"key\": \"a\", \"value\": " + any + "}");
}

TEST(TelemetryJsonTraces, TakesEveryField) {
    const Outcome outcome =
        decode_json(Signal::traces, request(span(R"("traceState": "a=b", "parentSpanId": "3132333435363738",
        "kind": 2, "startTimeUnixNano": "1000", "endTimeUnixNano": 18446744073709551615, "flags": 257,
        "attributes": [{"key": "http.method", "value": {"stringValue": "GET"}}, {"value": {"stringValue": "x"}, "key": "peer"}],
        "droppedAttributesCount": 1, "droppedEventsCount": "2", "droppedLinksCount": 3.0,
        "events": [{"timeUnixNano": "5", "name": "exception", "attributes": [{"key": "k", "value": {"stringValue": "v"}}],
                    "droppedAttributesCount": 9}, {"name": "second"}],
        "links": [{"traceId": "00112233445566778899aabbccddeeff", "spanId": "0102030405060708", "traceState": "c=d",
                   "attributes": [{"key": "k", "value": {"stringValue": "v"}}], "droppedAttributesCount": 8, "flags": 4294967295}],
        "status": {"message": "no", "code": 2})") +
                                            ", " + span("")));
    EXPECT_EQ(outcome.decoded.message, "");
    EXPECT_EQ(outcome.decoded.taken, 2);
    EXPECT_EQ(text_of(outcome.batch),
              std::string(owners) +
                  "span trace=00112233445566778899aabbccddeeff id=0102030405060708 parent=3132333435363738"
                  " state=a=b name=GET / kind=2 start=1000 end=18446744073709551615 status=2 message=no"
                  " attributes={\"peer\": \"x\", \"http.method\": \"GET\"} flags=257 dropped_attributes=1"
                  " dropped_events=2 dropped_links=3 of=0/0/0\n" +
                  plain_span +
                  "\nevent of=0.0 time=5 name=exception attributes={\"k\": \"v\"} dropped=9"
                  "\nevent of=0.1 name=second"
                  "\nlink of=0.0 trace=00112233445566778899aabbccddeeff id=0102030405060708 state=c=d"
                  " attributes={\"k\": \"v\"} flags=4294967295 dropped=8");
}

TEST(TelemetryJsonTraces, NothingIsFine) {
    for (const char *body : {"{}", " {} ", "\xEF\xBB\xBF{}", R"({"resourceSpans": []})", R"({"resourceSpans": null})",
                             R"({"resourceSpans": [{}]})", R"({"resourceSpans": [{"scopeSpans": [{"spans": []}]}]})"}) {
        const Outcome outcome = decode_json(Signal::traces, body);
        EXPECT_TRUE(outcome.decoded.is_readable) << body << outcome.decoded.message;
        EXPECT_EQ(outcome.decoded.message, "") << body;
    }
}

TEST(TelemetryJsonTraces, OrderAndUnknownKeysDoNotMatter) {
    const std::string body =
        R"({"x": [{"deep": [1, {"y": null}]}], "resourceSpans": [{"unknown": {"a": [1]}, "scopeSpans": [
        {"spans": [{"trace_id": "zz", "attributes": null, "\u006eame": "GET /", "x": {"name": "no"}, )" +
        ids + R"(}],
         "scope": {"name": "http", "scope": 5}, "schemaUrl": null}],
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop", "unknown": {}}}]}}]})";
    EXPECT_EQ(text_of(decode_json(Signal::traces, body).batch), std::string(owners) + plain_span);
}

TEST(TelemetryJsonTraces, AttributeValues) {
    EXPECT_EQ(value(R"({"intValue": 3926572986272345377})"), "{\"a\": 3926572986272345377}");
    EXPECT_EQ(value(R"({"intValue": "-9223372036854775808"})"), "{\"a\": -9223372036854775808}");
    EXPECT_EQ(value(R"({"intValue": 1e3})"), "{\"a\": 1000}");
    EXPECT_EQ(value(R"({"doubleValue": 1e-7})"), "{\"a\": 0.0000001}");
    EXPECT_EQ(value(R"({"doubleValue": 1e-400})"), "{\"a\": 0}");
    EXPECT_EQ(value(R"({"doubleValue": -1E-400})"), "{\"a\": 0}");
    EXPECT_EQ(value(R"({"doubleValue": "2.50"})"), "{\"a\": 2.5}");
    EXPECT_EQ(value(R"({"doubleValue": "NaN"})"), "{\"a\": \"NaN\"}");
    EXPECT_EQ(value(R"({"doubleValue": "-Infinity"})"), "{\"a\": \"-Infinity\"}");
    EXPECT_EQ(value(R"({"boolValue": false})"), "{\"a\": false}");
    EXPECT_EQ(value(R"({"bytesValue": "__8"})"), "{\"a\": \"//8=\"}");
    EXPECT_EQ(value(R"({"bytesValue": ""})"), "{\"a\": \"\"}");
    EXPECT_EQ(value("{}"), "{\"a\": null}");
    EXPECT_EQ(value("null"), "{\"a\": null}");
    EXPECT_EQ(value(R"({"stringValue": null, "intValue": 1})"), "{\"a\": 1}");
    EXPECT_EQ(value(R"({"stringValue": "x", "intValue": 1})"), "{\"a\": 1}");
    EXPECT_EQ(value(R"({"arrayValue": {}})"), "{\"a\": []}");
    EXPECT_EQ(value(R"({"arrayValue": {"values": [{"intValue": 1}, {"kvlistValue": {"values": [
                    {"key": "bb", "value": {"boolValue": true}}, {"key": "b", "value": {"arrayValue": {"values": []}}}]}}, {}]}})"),
              "{\"a\": [1, {\"b\": [], \"bb\": true}, null]}");
    EXPECT_EQ(attributes(R"({"key": "a", "value": {"intValue": 1}}, {"key": "a", "value": {"intValue": 2}})"),
              "{\"a\": 2}");
}

TEST(TelemetryJsonTraces, Strings) {
    EXPECT_EQ(value(R"({"stringValue": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00"})"),
              "{\"a\": \"\\\"\\\\/\\u0008\\u000c\\u000a\\u000d\\u0009é😀\"}");
    const Outcome outcome = decode_json(Signal::traces, request(span(R"("attributes": [
        {"key": "zero", "value": {"stringValue": "a\u0000b"}}, {"key": "high", "value": {"stringValue": "a\ud83dA"}},
        {"key": "low", "value": {"stringValue": "\ude00"}}, {"key": "two", "value": {"stringValue": "\ud83d\ud83d\ude00"}}])")));
    EXPECT_EQ(text_of(outcome.batch.spans[0].attributes),
              "{\"low\": \"\uFFFD\", \"two\": \"\uFFFD😀\", \"high\": \"a\uFFFDA\", \"zero\": \"a\uFFFDb\"}");
    EXPECT_EQ(outcome.decoded.rejected, 0);
    EXPECT_EQ(outcome.decoded.message, "1 string had U+0000, which PostgreSQL cannot keep: replaced by U+FFFD. "
                                       "3 strings had bytes that are no valid Unicode: replaced by U+FFFD.");
}

TEST(TelemetryJsonTraces, ABadSpanIsRejectedAlone) {
    const auto reason = [](const std::string &bad) {
        const Outcome outcome = decode_json(Signal::traces, request(span("") + ", " + bad + ", " + span("")));
        EXPECT_TRUE(outcome.decoded.is_readable) << outcome.decoded.message;
        EXPECT_EQ(outcome.decoded.taken, 2) << bad;
        EXPECT_EQ(outcome.decoded.rejected, 1) << bad;
        EXPECT_EQ(text_of(outcome.batch), std::string(owners) + plain_span + "\n" + plain_span);
        const std::string start = "1 of 3 spans rejected. resourceSpans[0].scopeSpans[0].spans[1]";
        EXPECT_EQ(outcome.decoded.message.substr(0, start.size()), start);
        return outcome.decoded.message.substr(std::min(start.size(), outcome.decoded.message.size()));
    };
    EXPECT_EQ(reason(R"({"traceId": "ABEiM0RVZneImaq7zN3u/w==", "name": "x"})"),
              " \"x\": traceId has 24 characters instead of 32 hexadecimal digits.");
    EXPECT_EQ(reason(R"({"traceId": "0011223344556677889900112233445g", "name": "x"})"),
              " \"x\": traceId is not hexadecimal.");
    EXPECT_EQ(reason(R"({"name": "x", "traceId": "00000000000000000000000000000000", "spanId": "0102030405060708"})"),
              " \"x\": trace_id is missing or all zero.");
    EXPECT_EQ(reason(R"({"name": "x", "traceId": 5})"), " \"x\": traceId is no string.");
    EXPECT_EQ(reason("7"), ": it is no object.");
    EXPECT_EQ(reason("[{}, [1]]"), ": it is no object.");
    EXPECT_EQ(reason(span(R"("kind": "SPAN_KIND_SERVER")")),
              " \"GET /\": kind is no integer; OTLP has enumerations as numbers.");
    EXPECT_EQ(reason(span(R"("startTimeUnixNano": "18446744073709551616")")),
              " \"GET /\": startTimeUnixNano is no unsigned integer of 64 bits.");
    EXPECT_EQ(reason(span(R"("startTimeUnixNano": -1)")),
              " \"GET /\": startTimeUnixNano is no unsigned integer of 64 bits.");
    EXPECT_EQ(reason(span(R"("flags": 4294967296)")), " \"GET /\": flags is no unsigned integer of 32 bits.");
    EXPECT_EQ(reason(span(R"("droppedLinksCount": 1.5)")),
              " \"GET /\": droppedLinksCount is no unsigned integer of 32 bits.");
    EXPECT_EQ(reason(span(R"("attributes": {"a": 1})")), " \"GET /\": attributes is no array.");
    EXPECT_EQ(reason(span(R"("attributes": [{"key": "a", "value": {"intValue": 9223372036854775808}}])")),
              " \"GET /\": attribute \"a\": intValue is no integer of 64 bits.");
    EXPECT_EQ(reason(span(R"("attributes": [{"value": {"doubleValue": 1e999}, "key": "a"}])")),
              " \"GET /\": attribute \"a\": doubleValue is no number.");
    EXPECT_EQ(reason(span(R"("attributes": [{"key": "a", "value": {"bytesValue": "=x"}}])")),
              " \"GET /\": attribute \"a\": bytesValue is no base64.");
    EXPECT_EQ(reason(span(R"("attributes": [{"key": "a", "value": {"boolValue": "true"}}])")),
              " \"GET /\": attribute \"a\": boolValue is neither true nor false.");
    EXPECT_EQ(reason(span(R"("attributes": [{"key": "a", "value": {"stringValue": {"x": [1, 2]}}}])")),
              " \"GET /\": attribute \"a\": stringValue is no string.");
    EXPECT_EQ(reason(span(R"("events": [{"name": "kept"}, {"name": 5}])")), " \"GET /\": event 1: name is no string.");
    EXPECT_EQ(reason(span(R"("status": 2)")), " \"GET /\": status is no object.");
}

TEST(TelemetryJsonTraces, NestingIsCapped) {
    const auto nested = [](int depth) {
        std::string text = R"({"intValue": 7})";
        while (--depth > 0)
            text = R"({"arrayValue": {"values": [)" + text + "]}}";
        return value(text);
    };
    EXPECT_EQ(nested(100), "{\"a\": " + std::string(99, '[') + "7" + std::string(99, ']') + "}");
    EXPECT_EQ(nested(101), "1 of 1 span rejected. resourceSpans[0].scopeSpans[0].spans[0] \"GET /\": attribute \"a\": "
                           "nested deeper than 100 levels.");
    EXPECT_EQ(nested(5000).substr(0, 21), "1 of 1 span rejected.");
    const std::string unknown = R"({"x": )" + std::string(100000, '[') + std::string(100000, ']') + "}";
    EXPECT_TRUE(decode_json(Signal::traces, unknown).decoded.is_readable);
}

TEST(TelemetryJsonTraces, ABadScopeCostsItsItemsOnly) {
    const std::string body = R"({"resourceSpans": [{"scopeSpans": [
        {"scope": {"name": "good"}, "spans": [)" +
                             span("") + R"(]},
        {"scope": {"name": 5}, "spans": [)" +
                             span("") + ", " + span("") + R"(]},
        {"scope": {"name": "good"}, "spans": [)" +
                             span("") + "]}]}]}";
    const Outcome outcome = decode_json(Signal::traces, body);
    EXPECT_EQ(outcome.decoded.message,
              "2 of 4 spans rejected. resourceSpans[0].scopeSpans[1].scope: name is no string.");
    EXPECT_EQ(text_of(outcome.batch), std::string("resource\nscope name=good\n") + plain_span + "\n" + plain_span);
}

TEST(TelemetryJsonTraces, UnreadableBodies) {
    const std::string good = request(span(""));
    Batch batch;
    decode(Signal::traces, Encoding::json, good, {}, batch);
    const std::string before = text_of(batch);
    for (const std::string &body :
         {std::string(), std::string("[]"), std::string("5"), std::string("\"x\""), std::string("null"),
          std::string("{"), std::string("{} {}"), std::string("{}x"), good.substr(0, good.size() - 1),
          good.substr(0, good.size() / 2), std::string("{\"resourceSpans\": [\"\xff\"]}"),
          std::string(R"({"resourceSpans": {}})"), std::string(R"({"resourceSpans": [5]})"),
          std::string(R"({"resourceSpans": [{"scopeSpans": 5}]})"),
          std::string(R"({"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]})"),
          std::string(R"({"resourceSpans" [}])"), request(span(R"("name": "\x")")),
          request(span(R"("name": "\u12g4")")), request(span(R"("name" "x")"))}) {
        const Decoded decoded = decode(Signal::traces, Encoding::json, body, {}, batch);
        EXPECT_FALSE(decoded.is_readable) << body;
        EXPECT_NE(decoded.message, "") << body;
        EXPECT_EQ(text_of(batch), before) << body;
    }
}

TEST(TelemetryJsonTraces, WhatCannotBeReadIsToldByItsPlace) {
    const std::string good = span("");
    const auto in_scope = [](const std::string &spans) {
        return R"({"resourceSpans": [{}, {"scopeSpans": [{}, {"spans": [)" + spans + "]}]}]}";
    };
    const std::pair<std::string, std::string> cases[] = {
        {"[]", ""},
        {"{} {}", ""},
        {R"({"resourceSpans": {}})", "resourceSpans"},
        {R"({"resourceSpans": [{}, 5]})", "resourceSpans[1]"},
        {R"({"resourceSpans": [{}, {"scopeSpans": 5}]})", "resourceSpans[1].scopeSpans"},
        {R"({"resourceSpans": [{"scopeSpans": [{}, []]}]})", "resourceSpans[0].scopeSpans[1]"},
        {R"({"resourceSpans": [{"scopeSpans": [{"spans": {}}]}]})", "resourceSpans[0].scopeSpans[0].spans"},
        {R"({"resourceSpans": [{"resource" 5}]})", "resourceSpans[0]"},
        {R"({"resourceSpans": [{"scopeSpans": [{"scope" {}}]}]})", "resourceSpans[0].scopeSpans[0]"},
        {in_scope(good + "," + span(R"("name": "\x")")), "resourceSpans[1].scopeSpans[1].spans[1]"},
        {in_scope(good + "," + good + good), "resourceSpans[1].scopeSpans[1]"},
    };
    for (const auto &[body, field] : cases) {
        const Decoded decoded = decode_json(Signal::traces, body).decoded;
        EXPECT_FALSE(decoded.is_readable) << body;
        EXPECT_EQ(decoded.field, field) << body;
    }
}

} // namespace
} // namespace dbnet::telemetry::test
