// The transport over HTTP/2, against a server whose frames the test writes itself: requests share a connection, and
// what is lost with one is sent again.
#include "test/unit/kubernetes_transport_support.hpp"

#include <atomic>
#include <vector>

using namespace dbnet::test;

namespace {

class KubernetesHttp2 : public TransportTest {};

std::string frame(char type, char flags, uint32_t stream, std::string_view payload) {
    std::string bytes = {'\0', '\0', static_cast<char>(payload.size()), type, flags};
    for (const int shift : {24, 16, 8, 0})
        bytes += static_cast<char>(stream >> shift & 0xFF);
    return bytes + std::string(payload);
}

const std::string settings = frame(4, 0, 0, "");
const std::string goaway_of_everything = frame(7, 0, 0, std::string(8, '\0')); // last stream taken: none

// Reads on to the end of the next request; its stream, 0 once the client is gone.
uint32_t next_request(Exchange &exchange) {
    for (;;) {
        const std::string head = exchange.read(9);
        if (head.size() < 9)
            return 0;
        const auto byte = [&](size_t at) { return static_cast<uint32_t>(static_cast<unsigned char>(head[at])); };
        exchange.read(byte(0) << 16 | byte(1) << 8 | byte(2));
        if (head[3] <= 1 && (head[4] & 1)) // DATA or HEADERS, END_STREAM
            return byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    }
}

void begin_http2(Exchange &exchange) {
    exchange.read(24); // the client's preface
    exchange.send(settings);
}

void answer_200(Exchange &exchange, uint32_t stream) {
    exchange.send(frame(1, 4, stream, "\x88") + frame(0, 1, stream, "{}")); // HEADERS ":status: 200", the last of DATA
}

Connection shared_to(const Server &server) {
    Connection connection = to(server);
    connection.http2 = true;
    return connection;
}

} // namespace

TEST_F(KubernetesHttp2, RequestsShareAConnectionOfHttp2) {
    constexpr int count = 20;
    Server server(Security::tls_http2, [](Exchange &exchange) {
        begin_http2(exchange);
        std::vector<uint32_t> streams;
        while (const uint32_t stream = next_request(exchange)) { // nobody is answered before all have asked
            streams.push_back(stream);
            if (streams.size() == count)
                for (const uint32_t each : streams)
                    answer_200(exchange, each);
        }
    });
    Transport transport;
    int answered = 0;
    for (int i = 0; i < count; ++i)
        transport.send(shared_to(server), get(), [&](Response &&response) {
            EXPECT_EQ(response.transport_error, "");
            EXPECT_EQ(response.status, 200);
            ++answered;
        });
    pump(transport, [&] { return answered == count; });
    EXPECT_EQ(server.connections, 1);
}

TEST_F(KubernetesHttp2, WhatAGoawayLosesIsSentAgain) {
    constexpr int count = 8;
    std::atomic<int> lost{0};
    Server server(Security::tls_http2, [&](Exchange &exchange) {
        begin_http2(exchange);
        if (exchange.connection == 1) {
            while (lost < count && next_request(exchange) != 0)
                ++lost;
            exchange.send(goaway_of_everything);
            return exchange.close();
        }
        while (const uint32_t stream = next_request(exchange))
            answer_200(exchange, stream);
    });
    Transport transport;
    int answered = 0;
    for (int i = 0; i < count; ++i) {
        Request request = get();
        if (i % 2 == 1) {
            request = post("{}");
            request.method = "PATCH";
            request.idempotent = true;
        }
        transport.send(shared_to(server), request, [&](Response &&response) {
            EXPECT_EQ(response.transport_error, "");
            EXPECT_EQ(response.status, 200);
            ++answered;
        });
    }
    pump(transport, [&] { return answered == count; });
    EXPECT_EQ(lost, count);
}

TEST_F(KubernetesHttp2, AServerThatAlwaysGoesAwayEndsTheRequest) {
    Server server(Security::tls_http2, [&](Exchange &exchange) {
        begin_http2(exchange);
        next_request(exchange);
        exchange.send(goaway_of_everything);
        exchange.close();
    });
    Transport transport;
    EXPECT_NE(exchange(transport, shared_to(server), get()).transport_error, "");
    EXPECT_EQ(server.connections, 5);
}

TEST_F(KubernetesHttp2, Http2IsAWish) {
    Server server(Security::tls, answer_ok);
    Transport transport;
    EXPECT_EQ(exchange(transport, shared_to(server), get()).status, 200);
    Server plain(Security::plain, answer_ok);
    EXPECT_EQ(exchange(transport, shared_to(plain), get()).status, 200);
}
