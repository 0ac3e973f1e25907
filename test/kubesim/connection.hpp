// One client's TLS connection: HTTP/1.1 requests in, one at a time; answers or an endless chunked stream out.
#pragma once

#include "http_message.hpp"

#include <functional>
#include <memory>
#include <openssl/ssl.h>
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
    // Sends the head of a chunked answer; then chunks until end_stream().
    void begin_stream(const Response &response);
    void write_chunk(std::string_view data);
    void end_stream();
    bool streaming() const { return streaming_; }
    void flush(); // tries to write what waits
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
    bool streaming_ = false;
    bool close_after_write_ = false;

    bool head_parsed_ = false;
    bool keep_alive_ = true;
    bool chunked_ = false;
    size_t body_left_ = 0;
    Request request_;
};

} // namespace kubesim
