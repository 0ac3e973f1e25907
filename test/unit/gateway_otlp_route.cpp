// Which requests the gateway takes by their method, path and headers, and what /metrics looks like.
#include "gateway/otlp/gateway_counters.hpp"
#include "gateway/otlp/otlp_route.hpp"

#include <gtest/gtest.h>

using namespace dbnet::gateway;
using dbnet::telemetry::Encoding;
using dbnet::telemetry::Signal;
using Kind = OtlpRoute::Kind;

TEST(OtlpRoute, KnowsTheThreeSignals) {
    EXPECT_EQ(route_of("POST", "/v1/traces", "application/json", {}).signal, Signal::traces);
    EXPECT_EQ(route_of("POST", "/v1/metrics", "application/json", {}).signal, Signal::metrics);
    EXPECT_EQ(route_of("POST", "/v1/logs", "application/json", {}).signal, Signal::logs);
    for (const char *path : {"/", "/v1/traces/", "/v1/Traces", "/v1/profiles", "/V1/traces", ""})
        EXPECT_EQ(route_of("POST", path, "application/json", {}).status, 404) << path;
}

TEST(OtlpRoute, ReadsMediaTypesWithoutCaseAndParameters) {
    for (const char *type : {"application/json", "APPLICATION/JSON", "application/json; charset=utf-8",
                             " application/json ;x=y", "Application/Json;charset=UTF-8"})
        EXPECT_EQ(route_of("POST", "/v1/logs", type, {}).encoding, Encoding::json) << type;
    for (const char *type : {"application/x-protobuf", "Application/X-Protobuf; messageType=x"})
        EXPECT_EQ(route_of("POST", "/v1/logs", type, {}).encoding, Encoding::protobuf) << type;
}

TEST(OtlpRoute, RefusesOtherMediaTypesInTheCollectorsWords) {
    for (const auto &type :
         {std::optional<std::string_view>(), std::optional<std::string_view>(""),
          std::optional<std::string_view>("text/plain"), std::optional<std::string_view>("application/json2"),
          std::optional<std::string_view>("application/protobuf"),
          std::optional<std::string_view>("application/grpc")}) {
        const OtlpRoute route = route_of("POST", "/v1/traces", type, {});
        EXPECT_EQ(route.status, 415);
        EXPECT_FALSE(route.has_encoding);
        EXPECT_EQ(route.message, "415 unsupported media type, supported: [application/json, application/x-protobuf]");
    }
}

TEST(OtlpRoute, RefusesOtherMethods) {
    for (const char *method : {"GET", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD"}) {
        const OtlpRoute route = route_of(method, "/v1/traces", "application/json", {});
        EXPECT_EQ(route.status, 405) << method;
        EXPECT_EQ(route.message, "405 method not allowed, supported: [POST]");
        EXPECT_STREQ(route.allow, "POST");
    }
    EXPECT_EQ(route_of("POST", "/metrics", {}, {}).status, 405);
    EXPECT_EQ(route_of("GET", "/metrics", {}, {}).kind, Kind::metrics);
    EXPECT_EQ(route_of("HEAD", "/healthz", {}, {}).kind, Kind::health);
    EXPECT_EQ(route_of("GET", "/readyz", {}, {}).kind, Kind::readiness);
}

TEST(OtlpRoute, KnowsCodings) {
    for (const char *coding : {"", "identity", "none", "Identity"})
        EXPECT_EQ(route_of("POST", "/v1/logs", "application/json", coding).compression, Compression::none) << coding;
    for (const char *coding : {"gzip", "GZIP", "x-gzip"})
        EXPECT_EQ(route_of("POST", "/v1/logs", "application/json", coding).compression, Compression::gzip) << coding;
    EXPECT_EQ(route_of("POST", "/v1/logs", "application/json", "zstd").compression, Compression::zstd);
    for (const char *coding : {"br", "gzip, gzip", "snappy"}) {
        const OtlpRoute route = route_of("POST", "/v1/logs", "application/json", coding);
        EXPECT_EQ(route.status, 400) << coding;
        EXPECT_TRUE(route.has_encoding) << "a google.rpc.Status";
        EXPECT_NE(route.message.find(coding), std::string::npos) << route.message;
    }
}

TEST(GatewayCounters, AreWrittenAsPrometheusReadsThem) {
    GatewayCounters counters;
    counters.signals[0].requests[200] = 3;
    counters.signals[0].accepted = 12345678;
    counters.other_requests[404] = 1;
    counters.commit.add(0.004);
    counters.commit.add(0.005);
    counters.commit.add(100);
    MetricsText text;
    write_metrics(counters, 2, 0, text);
    const auto has = [&](const std::string &line) {
        return ("\n" + text.text()).find("\n" + line + "\n") != std::string::npos;
    };
    EXPECT_TRUE(has("# TYPE dbnet_gateway_requests_total counter\n"
                    "dbnet_gateway_requests_total{signal=\"traces\",status=\"200\"} 3\n"
                    "dbnet_gateway_requests_total{signal=\"\",status=\"404\"} 1"))
        << text.text();
    EXPECT_TRUE(has("dbnet_gateway_accepted_items_total{signal=\"traces\"} 12345678"));
    EXPECT_TRUE(has("dbnet_gateway_commit_duration_seconds_bucket{le=\"0.0025\"} 0\n"
                    "dbnet_gateway_commit_duration_seconds_bucket{le=\"0.005\"} 2"));
    EXPECT_TRUE(has("dbnet_gateway_commit_duration_seconds_bucket{le=\"+Inf\"} 3\n"
                    "dbnet_gateway_commit_duration_seconds_sum 100.009\n"
                    "dbnet_gateway_commit_duration_seconds_count 3"));
    EXPECT_TRUE(has("dbnet_gateway_connections 2"));
}

TEST(MetricsText, QuotesLabels) {
    MetricsText text;
    text.family("a", "gauge", "b");
    text.sample({"name", "q\"b\\n\n"}, 1.5);
    EXPECT_EQ(text.text(), "# HELP a b\n# TYPE a gauge\na{name=\"q\\\"b\\\\n\\n\"} 1.5\n");
}
