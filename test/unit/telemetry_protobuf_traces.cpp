// Spans from protobuf: fields, order and merging, what is rejected alone and what makes a body unreadable.
#include "telemetry_support.hpp"

#include <gtest/gtest.h>

namespace dbnet::telemetry::test {
namespace {

using Writer = protozero::pbf_writer;

const std::string trace_id("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16);
const std::string span_id("\x01\x02\x03\x04\x05\x06\x07\x08", 8);

std::string span(const std::function<void(Writer &)> &more = [](Writer &) {}) {
    return message([&](Writer &w) {
        w.add_bytes(1, trace_id);
        w.add_bytes(2, span_id);
        w.add_string(5, "GET /");
        more(w);
    });
}

std::string request_of(const std::vector<std::string> &spans, const std::string &service = "shop") {
    return message([&](Writer &w) {
        w.add_message(1, message([&](Writer &resource_spans) {
                          resource_spans.add_message(1, message([&](Writer &r) {
                                                         r.add_message(1, string_attribute("service.name", service));
                                                     }));
                          resource_spans.add_message(2, message([&](Writer &scope_spans) {
                                                         scope_spans.add_message(
                                                             1, message([](Writer &s) { s.add_string(1, "http"); }));
                                                         for (const std::string &bytes : spans)
                                                             scope_spans.add_message(2, bytes);
                                                     }));
                      }));
    });
}

constexpr const char *shown_owners = "resource service=shop attributes={\"service.name\": \"shop\"}\nscope name=http";
constexpr const char *shown_span = "span trace=00112233445566778899aabbccddeeff id=0102030405060708 name=GET /";

std::string attribute(const std::function<void(Writer &)> &any) {
    return message([&](Writer &w) {
        w.add_string(1, "a");
        w.add_message(2, message(any));
    });
}

std::string attribute_text(const std::function<void(Writer &)> &any) {
    const Outcome outcome =
        decode_protobuf(Signal::traces, request_of({span([&](Writer &w) { w.add_message(9, attribute(any)); })}));
    return outcome.batch.spans.empty() ? outcome.decoded.message : text_of(outcome.batch.spans[0].attributes);
}

TEST(TelemetryProtobufTraces, TakesEveryField) {
    const std::string all = span([](Writer &w) {
        w.add_string(3, "a=b");
        w.add_bytes(4, "12345678");
        w.add_enum(6, 2);
        w.add_fixed64(7, 1000);
        w.add_fixed64(8, 18446744073709551615u);
        w.add_message(9, string_attribute("http.method", "GET"));
        w.add_message(9, string_attribute("peer", "x"));
        w.add_uint32(10, 1);
        w.add_message(11, message([](Writer &e) {
                          e.add_fixed64(1, 5);
                          e.add_string(2, "exception");
                          e.add_message(3, string_attribute("k", "v"));
                          e.add_uint32(4, 9);
                      }));
        w.add_message(11, message([](Writer &e) { e.add_string(2, "second"); }));
        w.add_uint32(12, 2);
        w.add_message(13, message([](Writer &l) {
                          l.add_bytes(1, trace_id);
                          l.add_bytes(2, span_id);
                          l.add_string(3, "c=d");
                          l.add_message(4, string_attribute("k", "v"));
                          l.add_uint32(5, 8);
                          l.add_fixed32(6, 4294967295u);
                      }));
        w.add_uint32(14, 3);
        w.add_message(15, message([](Writer &s) {
                          s.add_string(2, "no");
                          s.add_enum(3, 2);
                      }));
        w.add_fixed32(16, 257);
    });
    const Outcome outcome = decode_protobuf(Signal::traces, request_of({all, span()}));
    EXPECT_TRUE(outcome.decoded.is_readable);
    EXPECT_EQ(outcome.decoded.taken, 2);
    EXPECT_EQ(outcome.decoded.message, "");
    EXPECT_EQ(outcome.batch.requests[0].items, 2u);
    EXPECT_EQ(text_of(outcome.batch),
              std::string(shown_owners) +
                  "\nspan trace=00112233445566778899aabbccddeeff id=0102030405060708 parent=3132333435363738 state=a=b"
                  " name=GET / kind=2 start=1000 end=18446744073709551615 status=2 message=no"
                  " attributes={\"peer\": \"x\", \"http.method\": \"GET\"} flags=257 dropped_attributes=1"
                  " dropped_events=2 dropped_links=3 of=0/0/0\n" +
                  shown_span +
                  " of=0/0/0"
                  "\nevent of=0.0 time=5 name=exception attributes={\"k\": \"v\"} dropped=9"
                  "\nevent of=0.1 name=second"
                  "\nlink of=0.0 trace=00112233445566778899aabbccddeeff id=0102030405060708 state=c=d"
                  " attributes={\"k\": \"v\"} flags=4294967295 dropped=8");
}

TEST(TelemetryProtobufTraces, NothingIsFine) {
    for (const std::string &body :
         {std::string(), message([](Writer &w) { w.add_message(1, std::string()); }), request_of({})}) {
        const Outcome outcome = decode_protobuf(Signal::traces, body);
        EXPECT_TRUE(outcome.decoded.is_readable);
        EXPECT_EQ(outcome.decoded.taken + outcome.decoded.rejected, 0);
        EXPECT_EQ(outcome.decoded.message, "");
    }
}

TEST(TelemetryProtobufTraces, AttributeValues) {
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_bool(2, true); }), "{\"a\": true}");
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_int64(3, INT64_MIN); }), "{\"a\": -9223372036854775808}");
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_double(4, 0.1); }), "{\"a\": 0.1}");
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_double(4, -std::numeric_limits<double>::infinity()); }),
              "{\"a\": \"-Infinity\"}");
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_bytes(7, "\xff\xfe\x01\x02"); }), "{\"a\": \"//4BAg==\"}");
    EXPECT_EQ(attribute_text([](Writer &) {}), "{\"a\": null}");
    EXPECT_EQ(attribute_text([](Writer &w) { w.add_string(8, "of profiles"); }), "{\"a\": null}");
    EXPECT_EQ(attribute_text([](Writer &w) {
                  w.add_message(5, message([](Writer &list) {
                                    list.add_message(1, message([](Writer &v) { v.add_int64(3, 1); }));
                                    list.add_message(1, message([](Writer &v) {
                                                         v.add_message(6, message([](Writer &members) {
                                                                           members.add_message(
                                                                               1, string_attribute("k", "v"));
                                                                       }));
                                                     }));
                                }));
              }),
              "{\"a\": [1, {\"k\": \"v\"}]}");
}

TEST(TelemetryProtobufTraces, WhatComesTwice) {
    const auto list = [](int64_t number) {
        return message([&](Writer &l) { l.add_message(1, message([&](Writer &v) { v.add_int64(3, number); })); });
    };
    // The last member of a oneof wins, pieces of the same message are merged.
    EXPECT_EQ(attribute_text([&](Writer &w) {
                  w.add_message(5, list(1));
                  w.add_string(1, "x");
              }),
              "{\"a\": \"x\"}");
    EXPECT_EQ(attribute_text([&](Writer &w) {
                  w.add_string(1, "x");
                  w.add_message(5, list(1));
                  w.add_message(5, list(2));
              }),
              "{\"a\": [1, 2]}");
    const std::string twice = span([&](Writer &w) {
        w.add_message(9, message([&](Writer &a) {
                          a.add_message(2, message([&](Writer &v) { v.add_message(5, list(1)); }));
                          a.add_string(1, "late");
                          a.add_message(2, message([&](Writer &v) { v.add_message(5, list(2)); }));
                      }));
        w.add_message(9, string_attribute("b", "1"));
        w.add_message(9, string_attribute("b", "2"));
        w.add_message(15, message([](Writer &s) { s.add_string(2, "no"); }));
        w.add_message(15, message([](Writer &s) { s.add_enum(3, 2); }));
        w.add_string(5, "name");
    });
    EXPECT_EQ(text_of(decode_protobuf(Signal::traces, request_of({twice})).batch),
              std::string(shown_owners) +
                  "\nspan trace=00112233445566778899aabbccddeeff id=0102030405060708 name=name status=2"
                  " message=no attributes={\"b\": \"2\", \"late\": [1, 2]} of=0/0/0");
}

TEST(TelemetryProtobufTraces, TheResourceMayComeLastAndInPieces) {
    const std::string body = message([&](Writer &w) {
        w.add_message(1, message([&](Writer &resource_spans) {
                          resource_spans.add_message(
                              2, message([&](Writer &scope_spans) {
                                  scope_spans.add_message(2, span());
                                  scope_spans.add_message(1, message([](Writer &s) { s.add_string(1, "http"); }));
                                  scope_spans.add_message(1, message([](Writer &s) { s.add_string(2, "v1"); }));
                                  scope_spans.add_string(3, "url");
                              }));
                          resource_spans.add_string(3, "resource url");
                          for (const char *key : {"k8s.node.name", "host.name"})
                              resource_spans.add_message(
                                  1, message([&](Writer &r) { r.add_message(1, string_attribute(key, key)); }));
                      }));
    });
    EXPECT_EQ(
        text_of(decode_protobuf(Signal::traces, body).batch),
        "resource node=k8s.node.name attributes={\"host.name\": \"host.name\", \"k8s.node.name\": \"k8s.node.name\"}"
        " schema_url=resource url\nscope name=http version=v1 schema_url=url\n" +
            std::string(shown_span) + " of=0/0/0");
}

TEST(TelemetryProtobufTraces, EqualResourcesAreOne) {
    const std::string one = request_of({span()}), other = request_of({span()}, "other");
    Batch batch;
    for (const std::string &body : {one, one, other, one})
        decode(Signal::traces, Encoding::protobuf, body, {}, batch);
    EXPECT_EQ(batch.resources.size(), 2u);
    EXPECT_EQ(batch.scopes.size(), 1u);
    EXPECT_EQ(batch.spans[2].resource, 1u);
    EXPECT_EQ(batch.spans[3].resource, 0u);
    EXPECT_EQ(batch.spans[3].request, 3u);
}

TEST(TelemetryProtobufTraces, UnknownFieldsAndGroupsAreSkipped) {
    std::string odd = span([](Writer &w) {
        w.add_string(100, "unknown");
        w.add_string(7, "of another wire type");
        w.add_uint64(5, 7);
    });
    // Group 20 with a varint, a group and a fixed32 in it.
    odd += std::string("\xa3\x01\x08\x05\x13\x0a\x01x\x14\x1d\x01\x02\x03\x04\xa4\x01", 16);
    EXPECT_EQ(text_of(decode_protobuf(Signal::traces, request_of({odd})).batch),
              std::string(shown_owners) + "\n" + shown_span + " of=0/0/0");
    for (const char *broken : {"\xa3\x01\x08\x05", "\xa4\x01"}) {
        const Decoded decoded = decode_protobuf(Signal::traces, request_of({span(), span() + broken})).decoded;
        EXPECT_FALSE(decoded.is_readable);
        EXPECT_EQ(decoded.field, "resourceSpans[0].scopeSpans[0].spans[1]");
    }
}

TEST(TelemetryProtobufTraces, ABadSpanIsRejectedAlone) {
    const auto with = [](const std::string &trace, const std::string &id, const std::string &parent) {
        return message([&](Writer &w) {
            w.add_bytes(1, trace);
            w.add_message(11, message([](Writer &e) { e.add_string(2, "lost"); }));
            w.add_bytes(2, id);
            w.add_bytes(4, parent);
            w.add_string(5, "bad");
        });
    };
    const auto reason = [&](const std::string &bad) {
        const Outcome outcome = decode_protobuf(Signal::traces, request_of({span(), bad, span()}));
        EXPECT_TRUE(outcome.decoded.is_readable);
        EXPECT_EQ(outcome.decoded.taken, 2);
        EXPECT_EQ(outcome.decoded.rejected, 1);
        EXPECT_EQ(outcome.batch.requests[0].rejected, 1);
        EXPECT_TRUE(outcome.batch.span_events.empty());
        return outcome.decoded.message;
    };
    const std::string start = "1 of 3 spans rejected. resourceSpans[0].scopeSpans[0].spans[1] \"bad\": ";
    EXPECT_EQ(reason(with(trace_id + trace_id, span_id, "")), start + "trace_id has 32 bytes instead of 16.");
    EXPECT_EQ(reason(with(std::string(16, '\0'), span_id, "")), start + "trace_id is missing or all zero.");
    EXPECT_EQ(reason(with("", span_id, "")), start + "trace_id is missing or all zero.");
    EXPECT_EQ(reason(with(trace_id, "", "")), start + "span_id is missing or all zero.");
    EXPECT_EQ(reason(with(trace_id, "1234567", "")), start + "span_id has 7 bytes instead of 8.");
    EXPECT_EQ(reason(with(trace_id, span_id, "1")), start + "parent_span_id has 1 bytes instead of 8.");
    EXPECT_EQ(reason(span([](Writer &w) { w.add_enum(6, 70000); })),
              "1 of 3 spans rejected. resourceSpans[0].scopeSpans[0].spans[1] \"GET /\": kind 70000 is out of range.");
    EXPECT_EQ(reason(span([](Writer &w) { w.add_message(13, message([](Writer &l) { l.add_bytes(1, "x"); })); })),
              "1 of 3 spans rejected. resourceSpans[0].scopeSpans[0].spans[1] \"GET /\": link 0: trace_id has 1 bytes "
              "instead of 16.");
}

std::string nested(unsigned depth) {
    return message([&](Writer &w) {
        if (depth > 1)
            w.add_message(5, message([&](Writer &list) { list.add_message(1, nested(depth - 1)); }));
        else
            w.add_int64(3, 7);
    });
}

TEST(TelemetryProtobufTraces, NestingIsCapped) {
    const auto outcome = [](unsigned depth) {
        return decode_protobuf(Signal::traces, request_of({span([&](Writer &w) {
                                   w.add_message(9, message([&](Writer &a) {
                                                     a.add_string(1, "deep");
                                                     a.add_message(2, nested(depth));
                                                 }));
                               })}));
    };
    EXPECT_EQ(outcome(100).decoded.taken, 1);
    EXPECT_EQ(outcome(101).decoded.message, "1 of 1 span rejected. resourceSpans[0].scopeSpans[0].spans[0] \"GET /\": "
                                            "attribute \"deep\": nested deeper than 100 levels.");
}

TEST(TelemetryProtobufTraces, ABadResourceCostsItsItemsOnly) {
    const auto deep = message([](Writer &a) {
        a.add_string(1, "deep");
        a.add_message(2, nested(101));
    });
    const std::string bad = message([&](Writer &w) {
        w.add_message(1, message([&](Writer &resource_spans) {
                          resource_spans.add_message(1, message([&](Writer &r) { r.add_message(1, deep); }));
                          resource_spans.add_message(2, message([&](Writer &s) {
                                                         s.add_message(2, span());
                                                         s.add_message(2, span());
                                                     }));
                      }));
    });
    const Outcome outcome = decode_protobuf(Signal::traces, request_of({span()}) + bad + request_of({span()}));
    EXPECT_EQ(outcome.decoded.message,
              "2 of 4 spans rejected. resourceSpans[1].resource: attribute \"deep\": nested deeper "
              "than 100 levels.");
    EXPECT_EQ(text_of(outcome.batch),
              std::string(shown_owners) + "\n" + shown_span + " of=0/0/0\n" + shown_span + " of=0/0/0");
}

TEST(TelemetryProtobufTraces, TextIsRepaired) {
    const std::string odd = span([](Writer &w) {
        w.add_string(5, std::string("a\0b", 3));
        w.add_message(9, string_attribute("cut", "\xe2\x82")); // in the middle of €
        w.add_message(9, string_attribute("euro", "\xe2\x82\xac"));
        w.add_message(9, string_attribute("long", std::string(100, 'x') + "\xc0\x80\xed\xa0\x80" + "y"));
    });
    const Outcome outcome = decode_protobuf(Signal::traces, request_of({odd}));
    EXPECT_EQ(outcome.batch.spans[0].name, "a\uFFFDb");
    EXPECT_EQ(text_of(outcome.batch.spans[0].attributes), "{\"cut\": \"\uFFFD\", \"euro\": \"€\", \"long\": \"" +
                                                              std::string(100, 'x') +
                                                              "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDy\"}");
    EXPECT_EQ(outcome.decoded.rejected, 0);
    EXPECT_EQ(outcome.decoded.message, "1 string had U+0000, which PostgreSQL cannot keep: replaced by U+FFFD. "
                                       "2 strings had bytes that are no valid Unicode: replaced by U+FFFD.");
}

TEST(TelemetryProtobufTraces, AnUnreadableBodyLeavesTheBatchAsItWas) {
    Batch batch;
    const std::string good = request_of({span()});
    decode(Signal::traces, Encoding::protobuf, good, {}, batch);
    const std::string before = text_of(batch);
    const std::string other = request_of({span(), span()}, "other"), cut = other.substr(0, 100);
    const Decoded decoded = decode(Signal::traces, Encoding::protobuf, cut, {}, batch);
    EXPECT_FALSE(decoded.is_readable);
    EXPECT_EQ(decoded.message, "the body is no protobuf of an OTLP request: end of buffer exception");
    EXPECT_EQ(decoded.field, ""); // no length of a list fits
    EXPECT_EQ(text_of(batch), before);
    EXPECT_EQ(batch.requests.size(), 1u);
    decode(Signal::traces, Encoding::protobuf, other, {}, batch);
    EXPECT_EQ(batch.resources[1].service_name, "other");
}

} // namespace
} // namespace dbnet::telemetry::test
