// The transport against a scripted server: what it sends, how connections are used, and every way an exchange can go
// wrong. All waiting is on the transport's descriptor alone, so a forgotten wake-up makes a test fail.
#include "test/unit/kubernetes_transport_support.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>

using namespace dbnet::test;

namespace {

class KubernetesTransport : public TransportTest {};

// Limits that make time limits short enough for a test.
TransportLimits hasty() {
    TransportLimits limits;
    limits.answer_margin = std::chrono::milliseconds(100);
    limits.stream_margin = std::chrono::milliseconds(100);
    return limits;
}

} // namespace

TEST_F(KubernetesTransport, SendsExactlyWhatIsAsked) {
    Exchange seen;
    Server server(Security::tls, [&](Exchange &exchange) {
        seen = exchange;
        exchange.answer(201, "{\"a\":1}",
                        "Retry-After: 7\r\nWarning: 299 - \"old \\\"thing\\\"\"\r\nWarning: 299 - \"other\"\r\n");
    });
    Transport transport;
    Connection connection = to(server);
    connection.token = "secret";
    Request request;
    request.method = "PATCH";
    request.path = "/api/v1/nodes/n";
    request.query = "force=true";
    request.content_type = "application/apply-patch+yaml";
    request.body = "{\"x\":1}";
    request.timeout = std::chrono::seconds(9);
    const Response response = exchange(transport, connection, request);
    EXPECT_EQ(response.transport_error, "");
    EXPECT_EQ(response.status, 201);
    EXPECT_EQ(response.body, "{\"a\":1}");
    EXPECT_EQ(response.content_type, "application/json");
    EXPECT_EQ(response.retry_after, 7);
    EXPECT_EQ(response.warnings, (std::vector<std::string>{"old \"thing\"", "other"}));
    EXPECT_GT(response.seconds, 0);
    EXPECT_EQ(seen.method, "PATCH");
    EXPECT_EQ(seen.target, "/api/v1/nodes/n?force=true&timeout=9s");
    EXPECT_EQ(seen.body, "{\"x\":1}");
    EXPECT_EQ(seen.header("content-type"), "application/apply-patch+yaml");
    EXPECT_EQ(seen.header("accept"), "application/json");
    EXPECT_EQ(seen.header("authorization"), "Bearer secret");
    EXPECT_EQ(seen.header("user-agent"), "dbnet/" DBNET_VERSION);
    EXPECT_EQ(seen.header("expect"), "");
    EXPECT_EQ(seen.header("accept-encoding"), "");
    EXPECT_EQ(seen.header("host"), "127.0.0.1:" + std::to_string(server.port()));
}

TEST_F(KubernetesTransport, ReusesHandlesForEveryKindOfRequest) {
    std::vector<std::string> seen;
    Server server(Security::plain, [&](Exchange &exchange) {
        seen.push_back(exchange.method + ' ' + exchange.target + ' ' + exchange.header("content-type") + ' ' +
                       exchange.body);
        answer_ok(exchange);
    });
    Transport transport;
    Request remove = post("{\"kind\":\"DeleteOptions\"}");
    remove.method = "DELETE";
    remove.idempotent = true;
    exchange(transport, to(server), get("/a"));
    exchange(transport, to(server), remove);
    exchange(transport, to(server), get("/b"));
    EXPECT_EQ(seen, (std::vector<std::string>{"GET /a?timeout=30s  ",
                                              "DELETE /x?timeout=30s application/json {\"kind\":\"DeleteOptions\"}",
                                              "GET /b?timeout=30s  "}));
    EXPECT_EQ(server.connections, 1);
}

TEST_F(KubernetesTransport, KeepsToItsPlacesInFlight) {
    Server server(Security::tls, answer_ok);
    TransportLimits limits;
    limits.requests_in_flight = 4;
    Transport transport(limits);
    int answered = 0;
    for (int i = 0; i < 200; ++i)
        transport.send(to(server), get(), [&](Response &&response) {
            EXPECT_EQ(response.status, 200) << response.transport_error;
            ++answered;
        });
    EXPECT_EQ(transport.in_flight(), 4u);
    EXPECT_EQ(transport.queued(), 196u);
    pump(transport, [&] { return answered == 200; });
    EXPECT_EQ(transport.in_flight(), 0u);
    EXPECT_EQ(transport.queued(), 0u);
    EXPECT_EQ(server.requests, 200);
    EXPECT_LE(server.connections, 4);
}

TEST_F(KubernetesTransport, HandlersMaySendMore) {
    Server server(Security::plain, answer_ok);
    Transport transport;
    int left = 50;
    std::function<void(Response &&)> next = [&](Response &&response) {
        EXPECT_EQ(response.status, 200);
        if (--left > 0)
            transport.send(to(server), get(), next);
    };
    transport.send(to(server), get(), next);
    pump(transport, [&] { return left == 0; });
    EXPECT_EQ(server.connections, 1);
}

TEST_F(KubernetesTransport, IdleDescriptorIsQuiet) {
    Server server(Security::plain, answer_ok);
    Transport transport;
    exchange(transport, to(server), get());
    // Timers of what is over may wake it once or twice, but not for ever.
    int wakes = 0;
    pollfd descriptor{transport.descriptor(), POLLIN, 0};
    while (wakes < 5 && poll(&descriptor, 1, 50) == 1) {
        transport.run();
        ++wakes;
    }
    EXPECT_LT(wakes, 5);
}

TEST_F(KubernetesTransport, ChecksTheServersCertificate) {
    Server server(Security::tls, answer_ok);
    Transport transport;
    Connection stranger = to(server);
    stranger.ca_pem = dbnet::test::make_certificates().ca;
    const Response refused = exchange(transport, stranger, post("{}"));
    EXPECT_EQ(refused.status, 0);
    EXPECT_NE(refused.transport_error.find(server.url() + ": SSL certificate problem"), std::string::npos)
        << refused.transport_error;
    EXPECT_FALSE(refused.ambiguous);
    stranger.insecure_skip_tls_verify = true;
    EXPECT_EQ(exchange(transport, stranger, get()).status, 200);
}

TEST_F(KubernetesTransport, ExpectsTheGivenServerName) {
    std::string host;
    Server server(
        Security::tls,
        [&](Exchange &exchange) {
            host = exchange.header("host");
            answer_ok(exchange);
        },
        dbnet::test::make_certificates("api.test"));
    Transport transport;
    Connection connection = to(server);
    EXPECT_NE(exchange(transport, connection, get()).transport_error, "");
    connection.tls_server_name = "api.test";
    const Response response = exchange(transport, connection, get());
    EXPECT_EQ(response.transport_error, "");
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(host, "127.0.0.1:" + std::to_string(server.port()));
    connection.tls_server_name = "other.test";
    EXPECT_NE(exchange(transport, connection, get()).transport_error, "");
}

TEST_F(KubernetesTransport, ShowsItsCertificate) {
    Server server(Security::tls_with_client_certificate,
                  [](Exchange &exchange) { exchange.answer(200, exchange.client); });
    Transport transport;
    Connection connection = to(server);
    EXPECT_NE(exchange(transport, connection, get()).transport_error, "");
    connection.client_cert_pem = server.certificates().client_certificate;
    connection.client_key_pem = server.certificates().client_key;
    EXPECT_EQ(exchange(transport, connection, get()).body, "tester");

    std::string pattern = testing::TempDir() + "transport.XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    const auto write = [&](const char *name, const std::string &text) {
        std::ofstream(pattern + '/' + name) << text;
        return pattern + '/' + name;
    };
    Connection files;
    files.api_url = server.url();
    files.ca_file = write("ca.pem", server.certificates().ca);
    files.client_cert_file = write("client.pem", server.certificates().client_certificate);
    files.client_key_file = write("key.pem", server.certificates().client_key);
    EXPECT_EQ(exchange(transport, files, get()).body, "tester");
    files.ca_file += ".missing";
    EXPECT_EQ(exchange(transport, files, get()).transport_error,
              "cannot read certificate authority file \"" + files.ca_file +
                  "\": No such file or directory. The server process must be able to read it.");
    std::filesystem::remove_all(pattern);
}

TEST_F(KubernetesTransport, AServerThatHangsDelaysNoOther) {
    Server hangs(Security::tls, [](Exchange &exchange) { exchange.wait_closed(); }), answers(Security::tls, answer_ok);
    TransportLimits limits;
    limits.requests_in_flight = 2;
    Transport transport(limits);
    int given_up = 0;
    for (int i = 0; i < 5; i++)
        transport.send(to(hangs), get(), [&](Response &&) { given_up++; });
    EXPECT_EQ(transport.in_flight(), 2U);
    EXPECT_EQ(transport.queued(), 3U);
    for (int i = 0; i < 20; i++)
        EXPECT_EQ(exchange(transport, to(answers), get()).status, 200);
    EXPECT_EQ(given_up, 0);
    EXPECT_EQ(transport.queued(), 3U);
}

// A peer that vanishes without a word is found by the kernel: 20 s without a sign of life, then five questions in 25 s,
// or 45 s without a receipt for what was sent.
TEST_F(KubernetesTransport, APeerThatVanishesIsFound) {
    Server server(Security::tls, [](Exchange &exchange) {
        exchange.begin_stream();
        exchange.chunk("{}\n");
        exchange.wait_closed();
    });
    Transport transport;
    int lines = 0;
    transport.stream(
        to(server), get(), [&](std::string_view) { lines++; }, [](Response &&) {});
    pump(transport, [&] { return lines == 1; });
    int found = 0;
    for (int socket = 3; socket < 1024; socket++) {
        sockaddr_in peer{};
        socklen_t size = sizeof peer;
        if (getpeername(socket, reinterpret_cast<sockaddr *>(&peer), &size) != 0 ||
            ntohs(peer.sin_port) != server.port())
            continue;
        found++;
        const auto option = [&](int level, int name) {
            int value = -1;
            socklen_t length = sizeof value;
            getsockopt(socket, level, name, &value, &length);
            return value;
        };
        EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
        EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 20);
        EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 5);
        EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPCNT), 5);
        EXPECT_EQ(option(IPPROTO_TCP, TCP_USER_TIMEOUT), 45'000);
    }
    EXPECT_EQ(found, 1);
}

TEST_F(KubernetesTransport, ReadsTheTokenAgainWhenItIsRefused) {
    std::string name = testing::TempDir() + "token.XXXXXX";
    const int file = mkstemp(name.data());
    ASSERT_GE(file, 0);
    close(file);
    std::ofstream(name) << "first\n";
    std::string valid = "Bearer first";
    std::mutex mutex;
    Server server(Security::tls, [&](Exchange &exchange) {
        const std::lock_guard lock(mutex);
        exchange.header("authorization") == valid ? exchange.answer(200, exchange.body) : exchange.answer(401, "{}");
    });
    Transport transport;
    Connection connection = to(server);
    connection.token_file = name;
    EXPECT_EQ(exchange(transport, connection, get()).status, 200);
    {
        const std::lock_guard lock(mutex);
        valid = "Bearer second";
    }
    EXPECT_EQ(exchange(transport, connection, get()).status, 401); // the file still holds the old one
    EXPECT_EQ(server.requests, 2);
    std::ofstream(name) << "second\n";
    const Response response = exchange(transport, connection, post("once more"));
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.body, "once more");
    EXPECT_EQ(server.requests, 4);
    unlink(name.c_str());
    Transport other;
    EXPECT_EQ(exchange(other, connection, get()).transport_error,
              "cannot read the bearer token from file \"" + name +
                  "\". The file must exist, hold a token and be readable by the server process.");
}

TEST_F(KubernetesTransport, ABrokenPooledConnectionIsNotTheRequestsFault) {
    for (const bool halfway : {false, true}) {
        Server server(Security::tls, [&](Exchange &exchange) {
            if (exchange.connection > 1 || exchange.on_connection == 1)
                return answer_ok(exchange);
            if (halfway)
                exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
            exchange.reset();
        });
        Transport transport;
        EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
        const Response response = exchange(transport, to(server), get());
        EXPECT_EQ(response.status, 200) << halfway << response.transport_error;
        EXPECT_EQ(response.body, "{}");
        EXPECT_EQ(server.requests, 3);
    }
}

TEST_F(KubernetesTransport, WhatMustNotBeSentTwiceIsNot) {
    Server server(Security::tls, [&](Exchange &exchange) {
        if (exchange.method == "GET")
            return answer_ok(exchange);
        exchange.reset();
    });
    Transport transport;
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    const Response response = exchange(transport, to(server), post("{}"));
    EXPECT_EQ(response.status, 0);
    EXPECT_NE(response.transport_error, "");
    EXPECT_TRUE(response.ambiguous);
    EXPECT_EQ(server.requests, 2);
}

TEST_F(KubernetesTransport, WhatWasNeverSentIsNotAmbiguous) {
    Connection connection;
    {
        Server server(Security::plain, answer_ok);
        connection.api_url = server.url();
    }
    Transport transport;
    const Response response = exchange(transport, connection, post("{}"));
    EXPECT_NE(response.transport_error.find(connection.api_url + ": Failed to connect"), std::string::npos)
        << response.transport_error;
    EXPECT_FALSE(response.ambiguous);
    EXPECT_FALSE(response.timed_out);
}

TEST_F(KubernetesTransport, GatewayErrorsOfWritesAreAmbiguous) {
    Server server(Security::plain, [](Exchange &exchange) { exchange.answer(504, "{}"); });
    Transport transport;
    EXPECT_TRUE(exchange(transport, to(server), post("{}")).ambiguous);
    EXPECT_FALSE(exchange(transport, to(server), get()).ambiguous);
}

TEST_F(KubernetesTransport, GivesUpAfterItsTime) {
    Server server(Security::tls, [](Exchange &exchange) { exchange.wait_closed(); });
    Transport transport(hasty());
    Request request = post("{}");
    request.timeout = std::chrono::seconds(0);
    const Response response = exchange(transport, to(server), request);
    EXPECT_TRUE(response.timed_out);
    EXPECT_TRUE(response.ambiguous);
    EXPECT_EQ(response.status, 0);
    EXPECT_NE(response.transport_error.find("timed out"), std::string::npos) << response.transport_error;
}

TEST_F(KubernetesTransport, TakesBigAnswersUpToTheLimit) {
    const std::string big(5'000'000, 'x');
    Server server(Security::tls, [&](Exchange &exchange) { exchange.answer(200, big); });
    TransportLimits limits;
    limits.response_bytes = big.size();
    Transport transport(limits);
    EXPECT_EQ(exchange(transport, to(server), get()).body, big);
    limits.response_bytes = big.size() - 1;
    Transport smaller(limits);
    const Response response = exchange(smaller, to(server), get());
    EXPECT_EQ(response.transport_error, server.url() + ": the answer is larger than 4999999 bytes");
    EXPECT_EQ(response.status, 0);
}

TEST_F(KubernetesTransport, UnpacksWhatItAskedToBePacked) {
    // "{"hello":"world"}" by gzip -n.
    const unsigned char packed[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xab, 0x56, 0xca,
                                    0x48, 0xcd, 0xc9, 0xc9, 0x57, 0xb2, 0x52, 0x2a, 0xcf, 0x2f, 0xca, 0x49, 0x51,
                                    0xaa, 0x05, 0x00, 0xd1, 0x41, 0x09, 0xd8, 0x11, 0x00, 0x00, 0x00};
    Server server(Security::plain, [&](Exchange &exchange) {
        if (exchange.header("accept-encoding") == "gzip")
            exchange.answer(200, std::string_view(reinterpret_cast<const char *>(packed), sizeof packed),
                            "Content-Encoding: gzip\r\n");
        else
            exchange.answer(200, "plain");
    });
    Transport transport;
    Request request = get();
    request.compressed = true;
    EXPECT_EQ(exchange(transport, to(server), request).body, "{\"hello\":\"world\"}");
    EXPECT_EQ(exchange(transport, to(server), get()).body, "plain");
}

TEST_F(KubernetesTransport, RefusesUnsafeConnections) {
    Transport transport;
    Connection connection;
    connection.api_url = "http://10.0.0.1:8080";
    EXPECT_EQ(exchange(transport, connection, get()).transport_error,
              "the API server's URL \"http://10.0.0.1:8080\" is not encrypted. Use https://; http:// is for servers on "
              "this very machine.");
}

TEST_F(KubernetesTransport, FollowsNoRedirects) {
    Server server(Security::plain,
                  [](Exchange &exchange) { exchange.answer(302, "", "Location: https://127.0.0.1:1/\r\n"); });
    Transport transport;
    EXPECT_EQ(exchange(transport, to(server), get()).status, 302);
}

TEST_F(KubernetesTransport, CancelledRequestsAreSilent) {
    Server server(Security::tls, [](Exchange &exchange) {
        if (exchange.target.starts_with("/slow"))
            exchange.wait_closed();
        else
            answer_ok(exchange);
    });
    TransportLimits limits;
    limits.requests_in_flight = 1;
    Transport transport(limits);
    const auto never = [](Response &&) { FAIL() << "the handler of a cancelled request was called"; };
    const Transport::Id running = transport.send(to(server), get("/slow"), never);
    const Transport::Id waiting = transport.send(to(server), get("/slow"), never);
    EXPECT_EQ(transport.queued(), 1u);
    pump(transport, [&] { return server.requests > 0; });
    transport.cancel(waiting);
    transport.cancel(running);
    transport.cancel(running);
    transport.cancel(12345);
    EXPECT_EQ(transport.in_flight() + transport.queued(), 0u);
    EXPECT_EQ(exchange(transport, to(server), get("/quick")).status, 200);
}

TEST_F(KubernetesTransport, HandlersMayCancelOthers) {
    Server server(Security::plain, answer_ok);
    Transport transport;
    std::vector<Transport::Id> ids;
    int answered = 0;
    for (int i = 0; i < 10; ++i)
        ids.push_back(transport.send(to(server), get(), [&](Response &&) {
            ++answered;
            for (const Transport::Id id : ids)
                transport.cancel(id);
        }));
    pump(transport, [&] { return answered > 0; });
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    EXPECT_EQ(answered, 1);
}

TEST_F(KubernetesTransport, StreamsLinesAsTheyArrive) {
    Server server(Security::tls, [](Exchange &exchange) {
        EXPECT_EQ(exchange.target, "/watch?watch=true");
        exchange.begin_stream();
        exchange.chunk("one\ntw");
        exchange.chunk("o\n");
        exchange.chunk("three\n");
        exchange.end_stream();
    });
    Transport transport;
    Request request = get("/watch");
    request.query = "watch=true";
    std::vector<std::string> lines;
    bool ended = false;
    transport.stream(
        to(server), request, [&](std::string_view line) { lines.emplace_back(line); },
        [&](Response &&response) {
            EXPECT_EQ(response.status, 200);
            EXPECT_EQ(response.transport_error, "");
            EXPECT_EQ(lines.size(), 3u) << "every line comes before the end";
            ended = true;
        });
    EXPECT_EQ(transport.in_flight(), 0u); // streams take no place
    pump(transport, [&] { return ended; });
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(KubernetesTransport, ManyStreamsLeaveThePoolToRequests) {
    constexpr int streams = 100, requests = 5;
    std::promise<void> end;
    Server server(Security::plain, [ended = end.get_future().share()](Exchange &exchange) {
        if (exchange.target != "/watch")
            return answer_ok(exchange);
        exchange.begin_stream();
        exchange.chunk("line\n");
        ended.wait();
        exchange.end_stream();
    });
    TransportLimits limits;
    limits.requests_in_flight = 1;
    Transport transport(limits);
    int lines = 0, ends = 0;
    for (int i = 0; i < streams; i++)
        transport.stream(
            to(server), get("/watch"), [&](std::string_view) { lines++; }, [&](Response &&) { ends++; });
    pump(transport, [&] { return lines == streams; });
    for (int i = 0; i < requests; i++)
        EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    EXPECT_EQ(server.connections, streams + 1);
    end.set_value();
    pump(transport, [&] { return ends == streams; });
}

TEST_F(KubernetesTransport, SaysHowAStreamEnded) {
    Server server(Security::tls, [](Exchange &exchange) {
        if (exchange.target == "/refused")
            return exchange.answer(403, "{\"no\":1}");
        exchange.begin_stream();
        exchange.chunk("one\n");
        if (exchange.target == "/broken")
            return exchange.close();
        exchange.chunk(exchange.target == "/long" ? std::string(1001, 'x') : "half");
        exchange.end_stream();
    });
    TransportLimits limits;
    limits.line_bytes = 1000;
    Transport transport(limits);
    const auto end_of = [&](const char *path) {
        Response end;
        bool ended = false;
        transport.stream(
            to(server), get(path), [](std::string_view line) { EXPECT_EQ(line, "one"); },
            [&](Response &&response) {
                end = std::move(response);
                ended = true;
            });
        pump(transport, [&] { return ended; });
        return end;
    };
    const Response refused = end_of("/refused");
    EXPECT_EQ(refused.status, 403);
    EXPECT_EQ(refused.body, "{\"no\":1}");
    const Response broken = end_of("/broken");
    EXPECT_EQ(broken.status, 0);
    EXPECT_NE(broken.transport_error, "");
    EXPECT_EQ(end_of("/half").transport_error, server.url() + ": the connection ended in the middle of a line");
    EXPECT_EQ(end_of("/long").transport_error, server.url() + ": the server sent a line that is longer than the limit");
}

TEST_F(KubernetesTransport, GivesUpOnDeadStreams) {
    Server server(Security::tls, [](Exchange &exchange) {
        exchange.begin_stream();
        exchange.chunk("one\n");
        exchange.wait_closed();
    });
    Transport transport(hasty());
    Request request = get();
    request.timeout = std::chrono::seconds(0);
    bool ended = false;
    transport.stream(
        to(server), request, [](std::string_view) {},
        [&](Response &&response) {
            EXPECT_TRUE(response.timed_out);
            EXPECT_EQ(response.transport_error, server.url() + ": the server did not end the stream in time");
            ended = true;
        });
    pump(transport, [&] { return ended; });
}

TEST_F(KubernetesTransport, PausedStreamsHoldTheServerBack) {
    constexpr size_t total = 40'000;
    const std::string line(1023, 'x');
    std::atomic<size_t> sent{0};
    Server server(Security::tls, [&](Exchange &exchange) {
        exchange.begin_stream();
        while (sent < total && exchange.chunk(line + '\n'))
            ++sent;
        exchange.end_stream();
    });
    TransportLimits limits;
    limits.stream_buffer_bytes = 64 * 1024;
    Transport transport(limits);
    size_t got = 0;
    bool ended = false;
    Transport::Id id = 0;
    id = transport.stream(
        to(server), get(),
        [&](std::string_view text) {
            EXPECT_EQ(text.size(), line.size());
            if (++got == 100)
                transport.pause(id);
        },
        [&](Response &&response) {
            EXPECT_EQ(response.transport_error, "");
            ended = true;
        });
    pump(transport, [&] { return got >= 100; });
    EXPECT_EQ(got, 100u);
    // Until nothing moves any more: what the server can send is what buffers of ours and the kernel take.
    pollfd descriptor{transport.descriptor(), POLLIN, 0};
    for (size_t before = 0; before != sent || poll(&descriptor, 1, 200) == 1;) {
        before = sent;
        transport.run();
    }
    EXPECT_EQ(got, 100u);
    EXPECT_LT(sent, total);
    transport.resume(id);
    pump(transport, [&] { return ended; });
    EXPECT_EQ(got, total);
}

TEST_F(KubernetesTransport, AStreamMayCancelItself) {
    Server server(Security::tls, [](Exchange &exchange) {
        if (exchange.connection > 1)
            return answer_ok(exchange);
        exchange.begin_stream();
        exchange.chunk("one\ntwo\nthree\n");
        exchange.wait_closed();
    });
    Transport transport;
    int lines = 0;
    Transport::Id id = 0;
    id = transport.stream(
        to(server), get(),
        [&](std::string_view) {
            ++lines;
            transport.cancel(id);
        },
        [](Response &&) { FAIL() << "the end of a cancelled stream was told"; });
    pump(transport, [&] { return lines > 0; });
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    EXPECT_EQ(lines, 1);
}

TEST_F(KubernetesTransport, MayBeDestroyedInTheMiddle) {
    Server server(Security::tls, [](Exchange &exchange) {
        exchange.begin_stream();
        exchange.chunk("one\n");
        exchange.wait_closed();
    });
    bool line = false;
    Transport transport;
    transport.stream(
        to(server), get(), [&](std::string_view) { line = true; }, [](Response &&) { FAIL(); });
    transport.send(to(server), get(), [](Response &&) { FAIL(); });
    pump(transport, [&] { return line; });
}

TEST_F(KubernetesTransport, FetchesABodyInParts) {
    const std::string body(300'000, 'x');
    Server server(Security::tls, [&](Exchange &exchange) {
        if (exchange.target.starts_with("/refused"))
            return exchange.answer(403, "{\"no\":1}");
        exchange.begin_stream();
        for (size_t at = 0; at < body.size(); at += 1000)
            exchange.chunk(std::string_view(body).substr(at, 1000));
        if (exchange.target.starts_with("/broken"))
            return exchange.close();
        exchange.end_stream();
    });
    TransportLimits limits;
    limits.response_bytes = 1000; // of answers that are kept whole
    Transport transport(limits);
    std::string got;
    size_t parts = 0;
    Response end;
    const auto fetch = [&](const char *path) {
        got.clear();
        parts = 0;
        bool ended = false;
        transport.fetch(
            to(server), get(path),
            [&](std::string_view part) {
                got += part;
                ++parts;
            },
            [&](Response &&response) {
                end = std::move(response);
                ended = true;
            });
        pump(transport, [&] { return ended; });
    };
    fetch("/x");
    EXPECT_EQ(end.transport_error, "");
    EXPECT_EQ(end.status, 200);
    EXPECT_EQ(end.body, "");
    EXPECT_EQ(got, body);
    EXPECT_GT(parts, 1u);
    fetch("/x");
    EXPECT_EQ(got, body);
    EXPECT_EQ(server.connections, 1) << "a fetch uses the pool";
    fetch("/refused");
    EXPECT_EQ(end.status, 403);
    EXPECT_EQ(end.body, "{\"no\":1}");
    EXPECT_EQ(got, "");
    fetch("/broken");
    EXPECT_NE(end.transport_error, "");
    EXPECT_EQ(got, body) << "what was seen is not seen twice";
}

TEST_F(KubernetesTransport, PausedFetchesHoldTheServerBack) {
    constexpr size_t total = 40'000;
    const std::string text(1024, 'x');
    std::atomic<size_t> sent{0};
    Server server(Security::tls, [&](Exchange &exchange) {
        exchange.begin_stream();
        while (sent < total && exchange.chunk(text))
            ++sent;
        exchange.end_stream();
    });
    TransportLimits limits;
    limits.stream_buffer_bytes = 64 * 1024;
    Transport transport(limits);
    size_t got = 0;
    bool ended = false;
    Transport::Id id = 0;
    id = transport.fetch(
        to(server), get(),
        [&](std::string_view part) {
            if (got == 0)
                transport.pause(id);
            got += part.size();
        },
        [&](Response &&response) {
            EXPECT_EQ(response.transport_error, "");
            ended = true;
        });
    pump(transport, [&] { return got > 0; });
    const size_t first = got;
    pollfd descriptor{transport.descriptor(), POLLIN, 0};
    for (size_t before = 0; before != sent || poll(&descriptor, 1, 200) == 1;) {
        before = sent;
        transport.run();
    }
    EXPECT_EQ(got, first);
    EXPECT_LT(sent, total);
    transport.resume(id);
    pump(transport, [&] { return ended; });
    EXPECT_EQ(got, total * text.size());
}

// 'x', `count` × 258 + 1 of them, in gzip's form: one block of fixed codes, 13 bits for each 258.
std::string packed_run(size_t count) {
    std::string bits;
    const auto add = [&](const char *code) { bits += code; };
    add("110");      // the last block, fixed codes
    add("10101000"); // 'x'
    for (size_t i = 0; i < count; ++i)
        add("1100010100000"); // the 258 before, at distance 1
    add("0000000");
    uint32_t sum = ~0u;
    for (size_t i = 0; i < count * 258 + 1; ++i) {
        sum ^= 'x';
        for (int bit = 0; bit < 8; ++bit)
            sum = sum >> 1 ^ (sum & 1 ? 0xEDB88320u : 0);
    }
    std::string packed("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
    for (size_t i = 0; i < bits.size(); i += 8) {
        unsigned char byte = 0;
        for (size_t bit = 0; bit < 8 && i + bit < bits.size(); ++bit)
            byte |= static_cast<unsigned char>((bits[i + bit] - '0') << bit);
        packed += static_cast<char>(byte);
    }
    for (const uint32_t word : {~sum, static_cast<uint32_t>(count * 258 + 1)})
        for (int shift = 0; shift < 32; shift += 8)
            packed += static_cast<char>(word >> shift & 0xff);
    return packed;
}

TEST_F(KubernetesTransport, APackedFetchComesInPartsOfBoundedSize) {
    constexpr size_t count = 40'000; // 10 MB, packed 65 kB
    const std::string packed = packed_run(count);
    Server server(Security::plain,
                  [&](Exchange &exchange) { exchange.answer(200, packed, "Content-Encoding: gzip\r\n"); });
    TransportLimits limits;
    limits.stream_buffer_bytes = 64 * 1024;
    Transport transport(limits);
    Request request = get();
    request.compressed = true;
    size_t got = 0, largest = 0;
    bool ended = false;
    transport.fetch(
        to(server), std::move(request),
        [&](std::string_view part) {
            got += part.size();
            largest = std::max(largest, part.size());
            EXPECT_EQ(part.find_first_not_of('x'), std::string_view::npos);
        },
        [&](Response &&response) {
            EXPECT_EQ(response.transport_error, "");
            ended = true;
        });
    pump(transport, [&] { return ended; });
    EXPECT_EQ(got, count * 258 + 1);
    EXPECT_LE(largest, limits.stream_buffer_bytes + 16 * 1024);
}

TEST_F(KubernetesTransport, ACancelledFetchTellsNothingMore) {
    Server server(Security::tls, [](Exchange &exchange) {
        if (exchange.connection > 1)
            return answer_ok(exchange);
        exchange.begin_stream();
        while (exchange.chunk("part"))
            ;
        exchange.closed = true;
    });
    Transport transport;
    int parts = 0;
    Transport::Id id = 0;
    id = transport.fetch(
        to(server), get(),
        [&](std::string_view) {
            ++parts;
            transport.cancel(id);
        },
        [](Response &&) { FAIL() << "the end of a cancelled fetch was told"; });
    pump(transport, [&] { return parts > 0; });
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    EXPECT_EQ(parts, 1);
}
