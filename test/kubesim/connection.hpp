// One client's TLS connection: HTTP/1.1 requests in, one at a time; answers out, whole or in parts.
#pragma once

#include "http_message.hpp"

#include <functional>
#include <memory>
#include <openssl/ssl.h>
#include <optional>
#include <string>

namespace kubesim {

class EventLoop;

class Connection : public std::enable_shared_from_this<Connection> {
public:
    using OnRequest = std::function<void(const std::shared_ptr<Connection> &, Request &&)>;
    using OnClose = std::function<void(Connection &)>;

    static constexpr size_t body_limit = 3 * 1024 * 1024; // bytes, the API server's own limit
    // Bytes a stream may have waiting; a client that does not read is cut off, as a real server does.
    static constexpr size_t stream_limit = 64 * 1024 * 1024;

    // Takes over the descriptor and the TLS session, closes and frees them.
    Connection(EventLoop &loop, int descriptor, SSL *ssl, OnRequest on_request, OnClose on_close);
    ~Connection();
    Connection(const Connection &) = delete;
    Connection &operator=(const Connection &) = delete;

    void start();
    void respond(const Response &response);
    // The head of an answer; then its body in parts until end(). Without its length, the body is chunked. What is
    // written waits for flush() or end().
    void begin(const Response &response, std::optional<size_t> length);
    void write(std::string_view data);
    void end();
    void flush();                                              // tries to write what waits
    size_t pending() const { return out_.size() - out_sent_; } // bytes that wait
    // Called whenever nothing waits any more.
    void when_drained(std::function<void()> call) { on_drained_ = std::move(call); }

    // Faults. From the next head on no more than so many bytes a second, or only that head; until the answer ends.
    void limit(int64_t bytes_per_second, bool only_head);
    // Nothing is sent any more, and the connection stays open.
    void silence() { silent_ = true; }
    // Drops the connection at once: with a TCP reset when `reset`.
    void abort(bool reset);
    bool closed() const { return descriptor_ < 0; }
    int descriptor() const { return descriptor_; }

private:
    void on_events(uint32_t events);
    void read_some();
    void parse();
    bool parse_head();
    bool parse_chunked_body();
    void fill_certificate(Request &request);
    void want(uint32_t events);
    void bad_request();
    void close_now();
    size_t slice();
    std::string head(const Response &response, const std::string &framing) const;

    EventLoop &loop_;
    int descriptor_;
    SSL *ssl_;
    OnRequest on_request_;
    OnClose on_close_;

    std::string in_;
    std::string out_;
    size_t out_sent_ = 0;
    uint32_t interest_ = 0;
    bool handshaken_ = false;
    bool busy_ = false; // a request is being handled
    bool chunked_answer_ = false;
    bool close_after_write_ = false;
    std::function<void()> on_drained_;

    bool silent_ = false;
    bool only_head_ = false;
    int64_t bytes_per_second_ = 0; // 0: no limit
    size_t limited_ = 0;           // bytes that it holds for
    bool waits_for_tick_ = false;

    bool head_parsed_ = false;
    bool keep_alive_ = true;
    bool chunked_ = false;
    size_t body_left_ = 0;
    Request request_;
};

} // namespace kubesim
