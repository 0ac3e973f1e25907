// Measures what telemetry costs before it reaches PostgreSQL, in one process without a server. Prints nanoseconds, one
// figure a line: "<name> <value>". Spans have 8 attributes, of which two are numbers; a request has 1000.
#include "telemetry/otlp/inflate.hpp"
#include "telemetry/otlp/otlp.hpp"
#include "telemetry/panes/panes.hpp"

#include <libdeflate.h>
#include <protozero/pbf_writer.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace {

using namespace dbnet::telemetry;
using Writer = protozero::pbf_writer;

constexpr int spans_per_request = 1000;
constexpr uint64_t start_time = 1'790'000'000'000'000'000;

const std::pair<const char *, const char *> texts[] = {
    {"http.request.method", "GET"},
    {"url.path", "/api/v1/orders/1234567"},
    {"server.address", "shop.example"},
    {"network.protocol.version", "1.1"},
    {"user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"},
    {"http.route", "/api/v1/orders/:id"},
};

std::string id_bytes(std::mt19937_64 &random, size_t size) {
    std::string id(size, '\0');
    for (char &byte : id)
        byte = static_cast<char>(random() | 1);
    return id;
}

std::string hexadecimal(const std::string &bytes) {
    std::string text;
    for (const char byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(byte));
        text += digits;
    }
    return text;
}

void add_attribute(Writer &to, uint32_t field, const char *key, auto add_value) {
    Writer attribute(to, field);
    attribute.add_string(1, key);
    Writer value(attribute, 2);
    add_value(value);
}

std::string protobuf_request() {
    std::mt19937_64 random(1);
    std::string body;
    Writer request(body);
    Writer resource_spans(request, 1);
    {
        Writer resource(resource_spans, 1);
        add_attribute(resource, 1, "service.name", [](Writer &v) { v.add_string(1, "shop"); });
    }
    Writer scope_spans(resource_spans, 2);
    for (int i = 0; i < spans_per_request; ++i) {
        Writer span(scope_spans, 2);
        span.add_bytes(1, id_bytes(random, 16));
        span.add_bytes(2, id_bytes(random, 8));
        span.add_bytes(4, id_bytes(random, 8));
        span.add_string(5, "GET /api/v1/orders/:id");
        span.add_enum(6, 2);
        span.add_fixed64(7, start_time);
        span.add_fixed64(8, start_time + random() % 100'000'000);
        for (const auto &[key, text] : texts)
            add_attribute(span, 9, key, [text = text](Writer &v) { v.add_string(1, text); });
        add_attribute(span, 9, "http.response.status_code", [](Writer &v) { v.add_int64(3, 200); });
        add_attribute(span, 9, "server.port", [](Writer &v) { v.add_int64(3, 8443); });
        Writer(span, 15).add_enum(3, 1);
    }
    scope_spans.commit();
    resource_spans.commit();
    return body;
}

std::string json_request() {
    std::mt19937_64 random(1);
    std::string body =
        R"({"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},"scopeSpans":[{"spans":[)";
    for (int i = 0; i < spans_per_request; ++i) {
        body +=
            std::string(i > 0 ? "," : "") + R"({"traceId":")" + hexadecimal(id_bytes(random, 16)) + R"(","spanId":")" +
            hexadecimal(id_bytes(random, 8)) + R"(","parentSpanId":")" + hexadecimal(id_bytes(random, 8)) +
            R"(","name":"GET /api/v1/orders/:id","kind":2,"startTimeUnixNano":")" + std::to_string(start_time) +
            R"(","endTimeUnixNano":")" + std::to_string(start_time + random() % 100'000'000) + R"(","attributes":[)";
        for (const auto &[key, text] : texts)
            body += std::string(R"({"key":")") + key + R"(","value":{"stringValue":")" + text + R"("}},)";
        body +=
            R"({"key":"http.response.status_code","value":{"intValue":"200"}},{"key":"server.port","value":{"intValue":8443}}],"status":{"code":1}})";
    }
    return body + "]}]}]}";
}

// Nanoseconds for each of `count` things; the best of several rounds, for the machine has other things to do.
template<class Work> void measure(const char *name, double count, Work work) {
    using Clock = std::chrono::steady_clock;
    double best = INFINITY;
    const auto begin = Clock::now();
    for (int round = 0; round < 20 || Clock::now() - begin < std::chrono::seconds(1); ++round) {
        const auto start = Clock::now();
        work();
        const std::chrono::duration<double, std::nano> took = Clock::now() - start;
        best = std::min(best, took.count() / count);
    }
    std::printf("%s %.4g\n", name, best);
}

void require(bool condition, const char *what) {
    if (!condition) {
        std::fprintf(stderr, "bench_telemetry: %s\n", what);
        std::exit(1);
    }
}

} // namespace

int main() {
    Batch batch;
    const std::pair<Encoding, std::string> requests[] = {{Encoding::protobuf, protobuf_request()},
                                                         {Encoding::json, json_request()}};
    for (const auto &[encoding, body] : requests) {
        const bool is_json = encoding == Encoding::json;
        std::printf("%s_bytes_per_span %.4g\n", is_json ? "json" : "protobuf", double(body.size()) / spans_per_request);
        measure(is_json ? "decode_json_span" : "decode_protobuf_span", spans_per_request, [&] {
            batch.clear();
            require(decode(Signal::traces, encoding, body, {}, batch).taken == spans_per_request,
                    "spans were rejected");
        });
        libdeflate_compressor *const compressor = libdeflate_alloc_compressor(6);
        std::string packed(libdeflate_gzip_compress_bound(compressor, body.size()), '\0'), plain;
        packed.resize(libdeflate_gzip_compress(compressor, body.data(), body.size(), packed.data(), packed.size()));
        libdeflate_free_compressor(compressor);
        measure(is_json ? "gunzip_json_span" : "gunzip_protobuf_span", spans_per_request,
                [&] { require(inflate_gzip(packed, 1 << 26, plain) == Inflated::ok, "gzip is broken"); });
    }

    std::mt19937_64 random(2);
    std::lognormal_distribution<double> distribution(15, 1);
    std::vector<double> values(10000);
    for (double &value : values)
        value = distribution(random);
    ExponentialHistogram sketch;
    measure("sketch_add", double(values.size()), [&] {
        for (const double value : values)
            sketch.add(value);
    });
    ExponentialHistogram other = sketch, merged;
    measure("sketch_merge", 1, [&] { merged.merge(other); });
    measure("sketch_quantile", 1, [&] { require(sketch.quantile(0.99) > 0, "no quantile"); });

    Panes panes;
    const std::vector<Instant> seconds(batch.spans.size(), 0);
    measure("panes_span", spans_per_request, [&] { panes.add(batch, seconds, {}); });
    return 0;
}
