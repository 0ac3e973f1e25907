// An HTTP/1.1 server without threads: libmicrohttpd driven from its user's own wait loop through one descriptor. It
// keeps the protocol and the limits; what requests mean is its user's. Pure C++; gateway and client API workers.
//
//     HttpServer server(*parse_listen_address("127.0.0.1:4318"), application, limits, nullptr);
//     while (true) { wait for server.descriptor() to be readable, at most server.timeout_ms(); server.run(); … }
//
// run() calls the application back; nothing else does, but for respond(), which calls nothing. A request is answered
// when the application likes, in any order over connections: until then its connection rests.
#pragma once

#include "gateway/http/http_exchange.hpp"
#include "gateway/http/listen_address.hpp"
#include "gateway/http/tls_credentials.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

struct MHD_Daemon;

namespace dbnet::gateway {

struct HttpLimits {
    size_t header_bytes = 16 * 1024;            // request line and headers; above: 431
    size_t body_bytes = 64 * 1024 * 1024;       // of one request, as sent; above: 413
    size_t in_flight_bytes = 256 * 1024 * 1024; // of all bodies that are not answered, and answers not read; above: 429
    unsigned connections = 4096;                // in total; more wait in the kernel until one closes
    unsigned connections_per_address = 2048;    // more are closed at once
    std::chrono::milliseconds idle{60'000};     // without a request, or while the answer is not read: closed
    std::chrono::milliseconds request{60'000};  // from the request line to the body's last byte: closed
};

// What is done with requests. Who throws has not kept the exchange: it is answered with 503, and its connection closed.
class HttpApplication {
public:
    virtual ~HttpApplication() = default;

    // The headers are there. Who can answer by them alone does: the body is not kept then.
    virtual void on_headers(Exchange &) = 0;
    // All is there. Answered now or later.
    virtual void on_request(Exchange &) = 0;
    // The server refuses the request for what it is (400, 431, 501) or for a limit (413, 429): `reason` in English.
    // Answers with this status; plain text unless overridden.
    virtual void on_refused(Exchange &, int status, std::string_view reason);
    // The server ends and answers what the application has not: those exchanges must not be used any more.
    virtual void on_stop() noexcept {}
};

class HttpServer {
public:
    // Listens from now on; TLS when `tls` is not nullptr. Raises HttpError.
    HttpServer(const ListenAddress &address, HttpApplication &application, const HttpLimits &limits,
               std::shared_ptr<const TlsCredentials> tls);
    // Answers what is not answered with 503 and closes every connection.
    ~HttpServer();
    HttpServer(const HttpServer &) = delete;
    HttpServer &operator=(const HttpServer &) = delete;

    int descriptor() const noexcept { return descriptor_; } // readable when run() has something to do
    uint16_t port() const noexcept { return port_; }
    size_t connections() const noexcept { return connections_.size(); }
    size_t in_flight_bytes() const noexcept { return in_flight_bytes_; }

    // How long run() may wait for the descriptor; -1: without limit, 0: not at all.
    long timeout_ms() const noexcept;

    // Reads, answers and closes what can be now; never waits.
    void run() noexcept;

    // New connections are made with these from now on. Only for a server that was made with TLS.
    void set_tls(std::shared_ptr<const TlsCredentials> tls) noexcept { tls_ = std::move(tls); }

    // Takes no new connections; those that are there go on.
    void stop_listening() noexcept;

private:
    friend class Exchange;
    friend struct HttpCallbacks;

    using Clock = std::chrono::steady_clock;

    // One connection of a client, from its acceptance to its end.
    struct Connection {
        HttpServer &server;
        std::string client;
        int descriptor;
        std::shared_ptr<const TlsCredentials> tls;
        Clock::time_point deadline; // shut down when it is over; max(): the application's turn
        size_t index;               // in connections_
    };

    void expect_within(Connection &connection, std::chrono::milliseconds limit) noexcept;
    void close_late_connections() noexcept;

    HttpApplication &application_;
    HttpLimits limits_;
    std::shared_ptr<const TlsCredentials> tls_;
    MHD_Daemon *daemon_ = nullptr;
    int descriptor_ = -1;
    bool has_answers_ = false; // given outside run(), which sends them: the library does not always say so
    uint16_t port_ = 0;
    size_t in_flight_bytes_ = 0;
    bool is_stopping_ = false; // requests do not reach the application any more
    std::vector<std::unique_ptr<Connection>> connections_;
    Clock::time_point next_deadline_ = Clock::time_point::max(); // no connection's is earlier
    Exchange *waiting_ = nullptr;                                // first of those whose answer is the application's
};

} // namespace dbnet::gateway
