// Answers to OTLP requests that the gateway gives without the database: too much under way, and its end.
#include "gateway/otlp/otlp_application.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace dbnet::gateway {
namespace {

class OtlpApplicationTest : public testing::Test {
protected:
    void SetUp() override {
        HttpLimits limits;
        limits.in_flight_bytes = 10;
        server = std::make_unique<HttpServer>(ListenAddress{"127.0.0.1", 0}, application, limits, nullptr);
        port_ = server->port();
    }
    void TearDown() override {
        for (const int client : clients_)
            close(client);
    }

    int send(std::string_view type, std::string_view body) {
        return send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: " + std::string(type) +
                    "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
    }
    int send(const std::string &request) {
        const int client = socket(AF_INET, SOCK_STREAM, 0);
        clients_.push_back(client);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(port_));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(connect(client, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
        EXPECT_EQ(::send(client, request.data(), request.size(), MSG_NOSIGNAL), static_cast<ssize_t>(request.size()));
        return client;
    }
    void run_until(const std::function<bool()> &is_done) {
        for (int turn = 0; turn < 2000 && !is_done(); turn++) {
            pollfd wait{server->descriptor(), POLLIN, 0};
            poll(&wait, 1, 10);
            server->run();
        }
        EXPECT_TRUE(is_done());
    }
    // The answer, up to `end`, or to the end of the connection.
    std::string answer_to(int client, std::optional<std::string_view> end = std::nullopt) {
        std::string got;
        run_until([&] {
            char piece[4096];
            const ssize_t size = recv(client, piece, sizeof piece, MSG_DONTWAIT);
            if (size > 0)
                got.append(piece, static_cast<size_t>(size));
            return end ? got.ends_with(*end) : size == 0;
        });
        return got;
    }

    // Asks for what a browser does of a page at `origin`, which wants to send spans as JSON.
    std::string preflight(std::string_view origin, std::string_view path = "/v1/traces") {
        return answer_to(send("OPTIONS " + std::string(path) +
                              " HTTP/1.1\r\nHost: a\r\nOrigin: " + std::string(origin) +
                              "\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: "
                              "authorization,content-type\r\nConnection: close\r\n\r\n"));
    }

    OtlpApplication application{[](std::string_view shown, bool) {
        return shown == "good" ? Admission{} : Admission{401, "not good"};
    }};
    std::unique_ptr<HttpServer> server;

private:
    long port_ = 0;
    std::vector<int> clients_;
};

bool holds_line(const std::string &answer, std::string_view line) {
    return answer.find("\r\n" + std::string(line) + "\r\n") != answer.npos;
}

bool holds_no_cors(const std::string &answer) {
    return answer.find("Access-Control") == answer.npos && answer.find("Vary") == answer.npos;
}

bool lets_page_read(const std::string &answer, std::string_view origin) {
    return holds_line(answer, "Access-Control-Allow-Origin: " + std::string(origin)) &&
           holds_line(answer, "Access-Control-Allow-Credentials: true") &&
           holds_line(answer, "Access-Control-Expose-Headers: Retry-After") && holds_line(answer, "Vary: Origin");
}

} // namespace

TEST_F(OtlpApplicationTest, BrowsersAreAnsweredForAllowedOriginsOnly) {
    EXPECT_TRUE(preflight("https://shop.example").starts_with("HTTP/1.1 405 ")) << "nobody's, unless set";
    EXPECT_TRUE(holds_no_cors(preflight("https://shop.example")));
    application.allow_origins(AllowedOrigins("https://shop.example"));
    application.require_token(true);
    for (const char *path : {"/v1/traces", "/v1/metrics", "/v1/logs"}) {
        const std::string answer = preflight("https://shop.example", path);
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 204 ")) << answer;
        EXPECT_TRUE(lets_page_read(answer, "https://shop.example")) << answer;
        EXPECT_TRUE(holds_line(answer, "Access-Control-Allow-Methods: POST")) << answer;
        EXPECT_TRUE(holds_line(answer, "Access-Control-Allow-Headers: Content-Type, Content-Encoding, Authorization, "
                                       "X-Requested-With, traceparent, tracestate, baggage"))
            << answer;
        EXPECT_TRUE(holds_line(answer, "Access-Control-Max-Age: 7200")) << answer;
        EXPECT_TRUE(answer.ends_with("\r\n\r\n")) << "no body: " << answer;
    }
    EXPECT_EQ(application.counters.signals[static_cast<size_t>(telemetry::Signal::traces)].requests.at(204), 1);
    const std::string other = preflight("https://other.example");
    EXPECT_TRUE(other.starts_with("HTTP/1.1 405 ")) << other;
    EXPECT_TRUE(holds_no_cors(other)) << other;
    for (const char *path : {"/healthz", "/metrics", "/v1/profiles"})
        EXPECT_TRUE(holds_no_cors(preflight("https://shop.example", path))) << path;
    const std::string no_preflight = answer_to(
        send("OPTIONS /v1/traces HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\nConnection: close\r\n\r\n"));
    EXPECT_TRUE(no_preflight.starts_with("HTTP/1.1 405 ")) << no_preflight;
    application.allow_origins(AllowedOrigins("*"));
    EXPECT_TRUE(lets_page_read(preflight("null"), "null"));
    for (const char *origin : {"https://a\tb", "https://a/b", "*"})
        EXPECT_TRUE(holds_no_cors(preflight(origin))) << origin;
}

TEST_F(OtlpApplicationTest, WhateverTheAnswerAPageOfAnAllowedOriginMayReadIt) {
    application.allow_origins(AllowedOrigins("https://shop.example"));
    const auto begin = [&](std::string_view headers, std::string_view body) {
        return send("POST /v1/traces HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\nConnection: "
                    "close\r\nContent-Length: " +
                    std::to_string(body.size()) + "\r\n" + std::string(headers) + "\r\n" + std::string(body));
    };
    const auto expect = [&](int client, int status) {
        const std::string answer = answer_to(client);
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 " + std::to_string(status))) << answer;
        EXPECT_TRUE(lets_page_read(answer, "https://shop.example")) << answer;
    };
    const std::string json = "Content-Type: application/json\r\n";
    expect(begin({}, "{}"), 415);
    expect(begin(json + "Content-Encoding: br\r\n", "{}"), 400);
    expect(begin(json + "Authorization: bad\r\n", "{}"), 401);
    expect(begin(json + "X: " + std::string(17'000, 'x') + "\r\n", "{}"), 431);
    expect(begin(json, std::string(11, ' ')), 429);
    for (const int status : {200, 503}) {
        const int client = begin(json, "{}");
        run_until([&] { return application.waiting_calls() == 1; });
        const std::vector<OtlpCall> calls = application.take_calls();
        if (status == 200)
            application.accept(calls.at(0), {});
        else
            application.refuse(calls.at(0), status, "later");
        expect(client, status);
    }
    const int client = begin(json, "{}");
    run_until([&] { return application.waiting_calls() == 1; });
    server.reset();
    char answer[4096] = "";
    EXPECT_GT(recv(client, answer, sizeof answer - 1, 0), 0);
    EXPECT_TRUE(lets_page_read(answer, "https://shop.example")) << "the server's own: " << answer;
}

TEST_F(OtlpApplicationTest, WithoutATokenOnlyHealthIsTold) {
    const auto status = [&](const std::string &request) {
        return answer_to(send(request +
                              " HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n"))
            .substr(9, 3);
    };
    application.require_token(true);
    EXPECT_EQ(status("POST /v1/traces"), "401");
    EXPECT_EQ(status("GET /metrics"), "401");
    EXPECT_EQ(status("GET /healthz"), "200");
    application.require_token(false);
    const int reader = send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    run_until([&] { return application.has_work(); });
    application.answer(*application.take_metrics().at(0), 200, "text/plain", "told");
    EXPECT_TRUE(answer_to(reader).ends_with("told"));
}

TEST_F(OtlpApplicationTest, TooMuchUnderWayIsToBeSentAgain) {
    send("application/json", "{       }");
    run_until([&] { return application.waiting_calls() == 1; });
    constexpr std::string_view text = "the server holds too much that is not answered, or whose answer is not read";
    const std::string json = answer_to(send("application/json", "{  }"), "}");
    EXPECT_TRUE(json.starts_with("HTTP/1.1 429 ")) << json;
    EXPECT_TRUE(holds_line(json, "Retry-After: 1")) << json;
    EXPECT_TRUE(holds_line(json, "Content-Type: application/json")) << json;
    EXPECT_TRUE(json.ends_with(
        R"({"code":8,"message":"the server holds too much that is not answered, or whose answer is not read"})"))
        << json;
    const std::string protobuf = answer_to(send("application/x-protobuf", "0123"), text);
    EXPECT_TRUE(protobuf.starts_with("HTTP/1.1 429 ")) << protobuf;
    EXPECT_TRUE(holds_line(protobuf, "Retry-After: 1")) << protobuf;
    EXPECT_TRUE(holds_line(protobuf, "Content-Type: application/x-protobuf")) << protobuf;
    EXPECT_TRUE(protobuf.ends_with("\r\n\r\n\x08\x08\x12" + std::string(1, static_cast<char>(text.size())) +
                                   std::string(text)));
    EXPECT_EQ(application.counters.signals[static_cast<size_t>(telemetry::Signal::traces)].requests.at(429), 2);
    EXPECT_TRUE(answer_to(send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"), "ok\n").starts_with("HTTP/1.1 200 "));

    application.accept(application.take_calls().at(0), {});
    const int client = send("application/json", "{}");
    run_until([&] { return application.waiting_calls() == 1; });
    application.accept(application.take_calls().at(0), {});
    EXPECT_TRUE(answer_to(client, "{}").starts_with("HTTP/1.1 200 ")) << "there is room again";
}

TEST_F(OtlpApplicationTest, WhatWaitsAtItsEndIsToBeSentAgain) {
    const int client = send("application/json", "{}");
    run_until([&] { return application.waiting_calls() == 1; });
    server.reset();
    char answer[4096] = "";
    EXPECT_GT(recv(client, answer, sizeof answer - 1, 0), 0);
    EXPECT_TRUE(std::string(answer).starts_with("HTTP/1.1 503 ")) << answer;
    EXPECT_TRUE(holds_line(answer, "Retry-After: 1")) << answer;
    EXPECT_EQ(application.waiting_calls(), 0) << "nobody is left to be answered";
}

} // namespace dbnet::gateway
