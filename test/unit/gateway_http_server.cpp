// What the HTTP server takes, refuses and closes, told by the bytes on the wire.
#include "gateway/http/http_error.hpp"
#include "gateway/http/http_server.hpp"
#include "gateway/http/listen_socket.hpp"
#include "gateway/http/tls_credentials.hpp"
#include "kubernetes_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace dbnet::gateway {

using namespace std::chrono_literals;

namespace {

// Answers /early by its headers, /later when told to, everything else with what it has got.
struct Application : HttpApplication {
    std::vector<Exchange *> waiting;
    std::vector<std::string> seen; // whole requests

    void on_headers(Exchange &exchange) override {
        if (exchange.path() == "/early")
            exchange.respond(401, {{"WWW-Authenticate", "Bearer"}}, "early\n");
        if (exchange.path() == "/no_memory_for_headers")
            throw std::bad_alloc();
    }
    void on_request(Exchange &exchange) override {
        if (exchange.path() == "/no_memory")
            throw std::bad_alloc();
        if (exchange.path() == "/large")
            return exchange.respond(200, {}, std::string(8 * 1024 * 1024, 'a'));
        seen.push_back(std::string(exchange.method()) + " " + std::string(exchange.path()) + " " + exchange.body());
        if (exchange.path() == "/later")
            return waiting.push_back(&exchange);
        if (exchange.path() == "/client")
            return exchange.respond(200, {}, exchange.client());
        if (exchange.path() == "/values")
            return exchange.respond(200, {},
                                    std::string(exchange.header("x-one").value_or("absent")) + "," +
                                        std::string(exchange.parameter("two").value_or("absent")));
        exchange.respond(200, {{"Content-Type", "text/plain"}}, exchange.body());
    }
};

class HttpServerTest : public testing::Test {
protected:
    HttpServer &server() {
        if (!server_)
            server_ = std::make_unique<HttpServer>(ListenAddress{"127.0.0.1", 0}, application, limits, tls_);
        return *server_;
    }
    void use_tls() {
        const test::Certificates made = test::make_certificates();
        std::string folder = testing::TempDir() + "gateway_XXXXXX";
        ASSERT_NE(mkdtemp(folder.data()), nullptr);
        const std::string certificate = folder + "/certificate", key = folder + "/key";
        std::ofstream(certificate) << made.server_certificate;
        std::ofstream(key) << made.server_key;
        EXPECT_NO_THROW(tls_ = std::make_shared<TlsCredentials>(TlsFiles{certificate, key, {}}));
        std::filesystem::remove_all(folder);
    }
    void stop() { server_.reset(); }

    int connect() {
        const int client = socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<uint16_t>(server().port()));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(client, reinterpret_cast<sockaddr *>(&address), sizeof address), 0);
        clients_.push_back(client);
        return client;
    }
    static void send(int client, std::string_view text) {
        EXPECT_EQ(::send(client, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }
    // Runs the server until `is_done` of what `client` has received, or until the connection ended ("\n(end)").
    std::string receive_until(int client, const std::function<bool(const std::string &)> &is_done) {
        std::string got;
        const auto limit = std::chrono::steady_clock::now() + 20s;
        while (!is_done(got) && std::chrono::steady_clock::now() < limit) {
            if (server_) {
                pollfd wait[] = {{server_->descriptor(), POLLIN, 0}, {client, POLLIN, 0}};
                const long timeout = server_->timeout_ms();
                poll(wait, 2, timeout < 0 || timeout > 100 ? 100 : static_cast<int>(timeout));
                server_->run();
            }
            char piece[65536];
            const ssize_t size = recv(client, piece, sizeof piece, MSG_DONTWAIT);
            if (size == 0 || (size < 0 && errno == ECONNRESET))
                return got + "\n(end)";
            if (size > 0)
                got.append(piece, static_cast<size_t>(size));
        }
        return got;
    }
    std::string receive(int client, std::string_view what) {
        return receive_until(client, [&](const std::string &got) { return got.find(what) != got.npos; });
    }
    std::string receive_all(int client) {
        return receive_until(client, [](const std::string &) { return false; });
    }
    std::string ask(std::string_view request, std::string_view until) {
        const int client = connect();
        send(client, request);
        return receive(client, until);
    }
    std::string ask_until_closed(std::string_view request) {
        const int client = connect();
        send(client, request);
        return receive_all(client);
    }
    void run_until(const std::function<bool()> &is_done) {
        for (int turn = 0; turn < 2000 && !is_done(); turn++) {
            pollfd wait{server().descriptor(), POLLIN, 0};
            poll(&wait, 1, 10);
            server().run();
        }
        EXPECT_TRUE(is_done());
    }
    void leave(int client) {
        close(client);
        std::erase(clients_, client);
    }
    void TearDown() override {
        for (const int client : clients_)
            close(client);
    }

    Application application;
    HttpLimits limits;

private:
    std::shared_ptr<const TlsCredentials> tls_;
    std::unique_ptr<HttpServer> server_;
    std::vector<int> clients_;
};

// A client's side of TLS on a connection that does not block; while it waits the server runs.
class TlsClient {
public:
    TlsClient(int client, HttpServer &server)
        : server_(server), context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
          session_(SSL_new(context_.get()), SSL_free) {
        fcntl(client, F_SETFL, O_NONBLOCK);
        SSL_set_fd(session_.get(), client);
    }
    bool handshake() {
        return until_done([&] { return SSL_connect(session_.get()); });
    }
    bool send(std::string_view bytes) {
        return until_done([&] { return SSL_write(session_.get(), bytes.data(), static_cast<int>(bytes.size())); });
    }
    std::string receive() {
        char bytes[4096];
        int size = 0;
        until_done([&] { return size = SSL_read(session_.get(), bytes, sizeof bytes); });
        return {bytes, static_cast<size_t>(std::max(size, 0))};
    }

private:
    template<class F> bool until_done(F f) {
        for (int turn = 0; turn < 2000; turn++) {
            ERR_clear_error(); // of another session
            const int result = f();
            if (result > 0)
                return true;
            const int error = SSL_get_error(session_.get(), result);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                return false;
            poll(nullptr, 0, 1);
            server_.run();
        }
        return false;
    }

    HttpServer &server_;
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
    std::unique_ptr<SSL, decltype(&SSL_free)> session_;
};

constexpr const char *host = "Host: a\r\n";

std::string post(std::string_view path, std::string_view headers, std::string_view body) {
    return "POST " + std::string(path) + " HTTP/1.1\r\n" + host + std::string(headers) + "\r\n" + std::string(body);
}

testing::AssertionResult has_status(const std::string &answer, int status) {
    const std::string line = "HTTP/1.1 " + std::to_string(status) + " ";
    return answer.starts_with(line) ? testing::AssertionSuccess()
                                    : testing::AssertionFailure() << "wanted " << status << ", got: " << answer;
}

} // namespace

TEST_F(HttpServerTest, AnswersABodyWithItsLength) {
    const std::string answer = ask(post("/", "Content-Length: 5\r\n", "hello"), "hello");
    EXPECT_TRUE(has_status(answer, 200));
    EXPECT_NE(answer.find("Content-Length: 5\r\n"), answer.npos) << answer;
    EXPECT_EQ(application.seen, std::vector<std::string>{"POST / hello"});
}

TEST_F(HttpServerTest, TakesChunksThatArriveByteByByte) {
    const int client = connect();
    for (const char byte : post("/", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n")) {
        send(client, {&byte, 1});
        server().run();
    }
    EXPECT_TRUE(has_status(receive(client, "abcdefg"), 200));
}

TEST_F(HttpServerTest, KeepsTheConnectionAndServesAPipeline) {
    const std::string one = post("/", "Content-Length: 3\r\n", "one"), two = post("/", "Content-Length: 3\r\n", "two");
    const std::string answer = ask(one + two + "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "(end)");
    EXPECT_LT(answer.find("one"), answer.find("two")) << answer;
    EXPECT_EQ(application.seen.size(), 3);
    EXPECT_EQ(server().connections(), 0);
}

TEST_F(HttpServerTest, AnswersLaterInAnyOrderAndHoldsThePipelineMeanwhile) {
    const int first = connect(), second = connect();
    send(first, post("/later", "Content-Length: 5\r\n", "first") + post("/", "Content-Length: 4\r\n", "next"));
    send(second, post("/later", "Content-Length: 6\r\n", "second"));
    run_until([&] { return application.waiting.size() == 2; });
    EXPECT_EQ(server().in_flight_bytes(), 11);
    EXPECT_EQ(application.seen.size(), 2) << "the next of a connection waits for the answer of the one before";
    for (Exchange *exchange : {application.waiting[1], application.waiting[0]})
        exchange->respond(200, {}, exchange->body());
    EXPECT_EQ(server().in_flight_bytes(), 11) << "answers of five and six bytes";
    EXPECT_TRUE(has_status(receive(second, "second"), 200));
    const std::string answers = receive(first, "next");
    run_until([&] { return server().in_flight_bytes() == 0; });
    EXPECT_LT(answers.find("first"), answers.find("next"));
}

TEST_F(HttpServerTest, ShowsHeadersParametersAndTheClient) {
    EXPECT_NE(ask("GET /values?two=a%26b&three HTTP/1.1\r\nHost: a\r\nX-ONE: 1\r\n\r\n", "1,a&b").find("1,a&b"),
              std::string::npos);
    EXPECT_NE(ask("GET /client HTTP/1.1\r\nHost: a\r\n\r\n", "127.0.0.1").find("\r\n\r\n127.0.0.1"), std::string::npos);
}

TEST_F(HttpServerTest, AsksForTheBodyOfAClientThatExpectsIt) {
    const int client = connect();
    send(client, post("/", "Content-Length: 4\r\nExpect: 100-continue\r\n", ""));
    EXPECT_EQ(receive(client, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
    send(client, "body");
    EXPECT_TRUE(has_status(receive(client, "body"), 200));
}

TEST_F(HttpServerTest, RefusesByTheHeadersBeforeAnExpectedBody) {
    limits.body_bytes = 10;
    EXPECT_TRUE(has_status(ask(post("/early", "Content-Length: 4\r\nExpect: 100-continue\r\n", ""), "early\n"), 401));
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 11\r\nExpect: 100-continue\r\n", ""), "too large\n"), 413));
}

TEST_F(HttpServerTest, ReadsARefusedBodyToItsEndAndKeepsTheConnection) {
    const int client = connect();
    send(client, post("/early", "Content-Length: 100000\r\n", std::string(100'000, 'x')) +
                     post("/", "Content-Length: 2\r\n", "ok"));
    const std::string answers = receive(client, "ok");
    EXPECT_TRUE(has_status(answers, 401));
    EXPECT_EQ(application.seen, std::vector<std::string>{"POST / ok"});
}

TEST_F(HttpServerTest, RefusesABodyAboveTheLimit) {
    limits.body_bytes = 10;
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 10\r\n", "0123456789"), "0123456789"), 200));
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 11\r\n", "01234567890"), "too large\n"), 413));
    EXPECT_TRUE(has_status(
        ask(post("/", "Transfer-Encoding: chunked\r\n", "6\r\n012345\r\n5\r\n67890\r\n0\r\n\r\n"), "too large\n"),
        413));
    EXPECT_EQ(application.seen.size(), 1);
    EXPECT_EQ(server().in_flight_bytes(), 0);
}

TEST_F(HttpServerTest, RefusesWhatItCannotHold) {
    limits.in_flight_bytes = 10;
    const int first = connect();
    send(first, post("/later", "Content-Length: 8\r\n", "01234567"));
    run_until([&] { return application.waiting.size() == 1; });
    const std::string request = post("/", "Content-Length: 4\r\n", "0123");
    EXPECT_TRUE(has_status(ask(request, "not read\n"), 429));
    application.waiting[0]->respond(200, {}, "");
    EXPECT_TRUE(has_status(ask(request, "0123"), 200)) << "there is room again";
}

TEST_F(HttpServerTest, CountsAnswersThatNobodyReadsAndTakesNothingMoreMeanwhile) {
    limits.in_flight_bytes = 1024 * 1024;
    const int client = connect();
    send(client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    run_until([&] { return server().in_flight_bytes() == 8 * 1024 * 1024; });
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 2\r\n", "ok"), "\n"), 429));
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 0\r\n", ""), "\n"), 429)) << "its answer needs room, too";
    EXPECT_TRUE(has_status(ask("GET /client HTTP/1.1\r\nHost: a\r\n\r\n", "\n"), 200)) << "a probe";
    EXPECT_EQ(receive_until(
                  client, [](const std::string &got) { return got.ends_with("aaaa") && got.size() > 8 * 1024 * 1024; })
                  .substr(0, 12),
              "HTTP/1.1 200");
    run_until([&] { return server().in_flight_bytes() == 0; });
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 2\r\n", "ok"), "ok"), 200));
}

TEST_F(HttpServerTest, ForgetsTheAnswerOfWhoNeverReadsIt) {
    limits.idle = 50ms;
    const int client = connect();
    send(client, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    run_until([&] { return server().in_flight_bytes() > 0; });
    run_until([&] { return server().connections() == 0; });
    EXPECT_EQ(server().in_flight_bytes(), 0);
}

TEST_F(HttpServerTest, AnswersAndClosesWhenMemoryEndsInACallback) {
    for (const char *path : {"/no_memory", "/no_memory_for_headers"}) {
        const std::string answer = ask_until_closed(post(path, "Content-Length: 5\r\n", "hello"));
        EXPECT_TRUE(has_status(answer, 503)) << path;
        EXPECT_NE(answer.find("Connection: close"), answer.npos) << answer;
        EXPECT_TRUE(answer.ends_with("\n(end)")) << answer;
    }
    EXPECT_EQ(server().in_flight_bytes(), 0);
    EXPECT_TRUE(has_status(ask(post("/", "Content-Length: 2\r\n", "ok"), "ok"), 200));
}

TEST_F(HttpServerTest, RefusesHeadersAboveTheLimit) {
    const auto with_header_of = [](size_t size) {
        return "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(size, 'x') + "\r\n\r\n";
    };
    EXPECT_TRUE(has_status(ask(with_header_of(15'000), "\r\n\r\n"), 200));
    EXPECT_TRUE(has_status(ask(with_header_of(17'000), "\r\n\r\n"), 431));
    EXPECT_TRUE(has_status(ask(with_header_of(200'000), "\r\n\r\n"), 431));
    const std::string answer_to_more = ask_until_closed(with_header_of(17'000) + std::string(100'000, 'x'));
    EXPECT_TRUE(has_status(answer_to_more, 431)) << "not lost by what follows";
    std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
    for (int i = 0; i < 3000; i++)
        many += "a:b\r\n";
    const std::string answer = ask(many + "\r\n", "\r\n\r\n");
    EXPECT_TRUE(has_status(answer, 200) || has_status(answer, 431)) << answer;
}

TEST_F(HttpServerTest, RefusesAndClosesWhereABodysEndIsInDoubt) {
    const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct {
        int status;
        const char *headers;
    } cases[] = {
        {400, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"},
        {400, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"},
        {400, "Content-Length: 5\r\nContent-Length: 5\r\n"},
        {400, "Content-Length: 5\r\nContent-Length: 6\r\n"},
        {400, "Content-Length: abc\r\n"},
        {400, "Content-Length: -1\r\n"},
        {501, "Transfer-Encoding: gzip, chunked\r\n"},
        {501, "Transfer-Encoding: gzip\r\n"},
        {501, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"},
        {400, "Host: b\r\nContent-Length: 0\r\n"},
    };
    for (const auto &one : cases) {
        const std::string answer = ask_until_closed(post("/", one.headers, "0\r\n\r\n" + smuggled));
        EXPECT_TRUE(has_status(answer, one.status)) << one.headers;
        EXPECT_TRUE(answer.ends_with("(end)")) << one.headers;
        EXPECT_EQ(answer.find(" 200 "), answer.npos) << one.headers << answer;
    }
    EXPECT_TRUE(application.seen.empty());
}

TEST_F(HttpServerTest, RefusesWhatIsNoHttp) {
    using namespace std::string_literals;
    for (const std::string &bytes :
         {"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"s, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"s, "nonsense\r\n\r\n"s,
          "GET / HTTP/1.1\r\n\r\n"s})
        EXPECT_TRUE(ask_until_closed(bytes).ends_with("(end)")) << bytes;
    EXPECT_TRUE(has_status(ask_until_closed("GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"), 400));
    EXPECT_TRUE(has_status(ask_until_closed(post("/", "Transfer-Encoding: chunked\r\n", "nonsense\r\n")), 400));
    EXPECT_TRUE(application.seen.empty());
}

TEST_F(HttpServerTest, ClosesWhoSendsTooSlowlyOrNothing) {
    limits.request = 150ms;
    limits.idle = 200ms;
    // Each byte comes long before any limit of silence.
    const auto drip = [&](int client, std::string_view endless) {
        for (size_t at = 0; at < 2000; at++) {
            if (::send(client, &endless[at % endless.size()], 1, MSG_NOSIGNAL) < 0)
                return true;
            poll(nullptr, 0, 2);
            server().run();
        }
        return false;
    };
    const int line = connect(), header = connect(), body = connect(), silent = connect();
    EXPECT_TRUE(drip(line, "a")) << "of the request line";
    send(header, "GET / HTTP/1.1\r\n");
    EXPECT_TRUE(drip(header, "X: y\r\n"));
    send(body, post("/", "Content-Length: 100000\r\n", ""));
    EXPECT_TRUE(drip(body, "z"));
    EXPECT_EQ(receive_all(silent), "\n(end)");
    EXPECT_EQ(server().connections(), 0);
    EXPECT_EQ(server().in_flight_bytes(), 0);
    EXPECT_TRUE(application.seen.empty());
}

TEST_F(HttpServerTest, ClosesWhoIsTooSlowBehindTlsToo) {
    limits.request = 1500ms;
    limits.idle = 2000ms;
    use_tls();
    const int silent = connect(), begun = connect(), body = connect();
    send(begun, std::string_view("\x16\x03\x01\x02\x00\x01", 6)); // the head of a handshake, and no more
    TlsClient client(body, server());
    ASSERT_TRUE(client.handshake());
    EXPECT_TRUE(client.send(post("/", "Content-Length: 100000\r\n", "zzz")));
    run_until([&] { return server().in_flight_bytes() > 0; });
    for (const int connection : {silent, begun})
        EXPECT_TRUE(receive_all(connection).ends_with("(end)"));
    run_until([&] { return server().connections() == 0; });
    EXPECT_EQ(server().in_flight_bytes(), 0);
    EXPECT_TRUE(application.seen.empty());
}

TEST_F(HttpServerTest, HasTheSameLimitsBehindTls) {
    limits.body_bytes = 1000;
    limits.connections_per_address = 2;
    use_tls();
    TlsClient first(connect(), server()), second(connect(), server());
    const int third = connect();
    ASSERT_TRUE(first.handshake());
    ASSERT_TRUE(second.handshake());
    EXPECT_EQ(receive_all(third), "\n(end)");
    EXPECT_TRUE(first.send(post("/", "Content-Length: 1001\r\n", std::string(1001, 'x'))));
    EXPECT_TRUE(has_status(first.receive(), 413));
    EXPECT_TRUE(second.send(post("/", "Content-Length: 2\r\n", "ok")));
    EXPECT_TRUE(has_status(second.receive(), 200));
}

TEST_F(HttpServerTest, GivesTheApplicationAllTheTimeItTakes) {
    limits.request = limits.idle = 50ms;
    const int client = connect();
    send(client, post("/later", "Content-Length: 1\r\n", "x"));
    run_until([&] { return application.waiting.size() == 1; });
    const auto end = std::chrono::steady_clock::now() + 200ms;
    run_until([&] { return std::chrono::steady_clock::now() > end; });
    application.waiting[0]->respond(200, {}, "done");
    EXPECT_TRUE(has_status(receive(client, "done"), 200));
}

TEST_F(HttpServerTest, LimitsTheConnectionsOfAnAddress) {
    limits.connections_per_address = 2;
    const int first = connect();
    connect();
    const int third = connect();
    EXPECT_EQ(receive_all(third), "\n(end)");
    send(first, post("/", "Content-Length: 2\r\n", "ok"));
    EXPECT_TRUE(has_status(receive(first, "ok"), 200));
}

TEST_F(HttpServerTest, ServesTheNextConnectionWhenOneOfAllCloses) {
    limits.connections = 2;
    const int first = connect(), second = connect(), third = connect();
    const std::string request = post("/", "Content-Length: 2\r\n", "ok");
    send(second, request);
    EXPECT_TRUE(has_status(receive(second, "ok"), 200));
    send(third, request);
    run_until([&] { return server().timeout_ms() != 0; });
    EXPECT_EQ(application.seen.size(), 1) << "it waits in the kernel";
    leave(first);
    EXPECT_TRUE(has_status(receive(third, "ok"), 200));
}

TEST_F(HttpServerTest, SurvivesClientsThatLeaveAtAnyTime) {
    const std::string request = post("/later", "Content-Length: 5\r\n", "hello");
    for (size_t size = 0; size <= request.size(); size += 7) {
        const int client = connect();
        send(client, std::string_view(request).substr(0, size));
        server().run();
        const linger reset{1, 0};
        setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        leave(client);
    }
    const int client = connect();
    send(client, request);
    run_until([&] { return application.waiting.size() == 1; });
    leave(client);
    application.waiting[0]->respond(200, {}, "nobody reads this");
    run_until([&] { return server().connections() == 0; });
    EXPECT_EQ(server().in_flight_bytes(), 0);
}

TEST_F(HttpServerTest, AnswersWhatWaitsWhenItStops) {
    const int client = connect(), idle = connect();
    const std::string request = post("/later", "Content-Length: 1\r\n", "x");
    send(client, request + request);
    run_until([&] { return application.waiting.size() == 1 && server().connections() == 2; });
    stop();
    EXPECT_EQ(application.seen.size(), 1) << "the next is not begun";
    const std::string answer = receive_all(client);
    EXPECT_TRUE(has_status(answer, 503));
    EXPECT_NE(answer.find("Retry-After: 1"), answer.npos);
    EXPECT_EQ(receive_all(idle), "\n(end)");
}

TEST_F(HttpServerTest, SleepsWhileThereIsNothingToDo) {
    EXPECT_EQ(server().timeout_ms(), -1);
    connect();
    run_until([&] { return server().connections() == 1; });
    run_until([&] {
        pollfd wait{server().descriptor(), POLLIN, 0};
        return server().timeout_ms() > 0 && poll(&wait, 1, 0) == 0;
    });
    EXPECT_LE(server().timeout_ms(), 60'000);
}

TEST(ListenSocket, IsForOneServerAlone) {
    ListenSocket first({"127.0.0.1", 0});
    try {
        ListenSocket second({"127.0.0.1", first.port()});
        FAIL() << "two listen on one port";
    } catch (const HttpError &error) {
        EXPECT_EQ(error.what(),
                  "cannot listen on 127.0.0.1:" + std::to_string(first.port()) + ": Address already in use");
        EXPECT_NE(error.hint().find("another port"), std::string::npos);
    }
}

TEST(ListenSocket, SaysWhyItCannotListen) {
    try {
        ListenSocket socket({"192.0.2.1", 4318});
        FAIL() << "not an address of this machine";
    } catch (const HttpError &error) {
        EXPECT_STREQ(error.what(), "cannot listen on 192.0.2.1:4318: Cannot assign requested address");
    }
    EXPECT_NE(ListenSocket({"::1", 0}).port(), 0);
}

} // namespace dbnet::gateway
