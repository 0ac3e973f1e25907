// One client's TLS connection: HTTP/1.1 requests in, one at a time; answers out, whole or in parts.
#include "connection.hpp"

#include "event_loop.hpp"

#include <algorithm>
#include <charconv>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kubesim {

namespace {

constexpr size_t head_limit = 64 * 1024;

std::string lower(std::string text) {
    for (char &c : text)
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
    return text;
}

std::string trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
        text.remove_suffix(1);
    return std::string(text);
}

std::string name_entry(X509_NAME_ENTRY *entry) {
    unsigned char *text = nullptr;
    int length = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(entry));
    std::string out(reinterpret_cast<char *>(text), length > 0 ? length : 0);
    OPENSSL_free(text);
    return out;
}

} // namespace

Connection::Connection(EventLoop &loop, int descriptor, SSL *ssl, OnRequest on_request, OnClose on_close)
    : loop_(loop), descriptor_(descriptor), ssl_(ssl), on_request_(std::move(on_request)),
      on_close_(std::move(on_close)) {
    SSL_set_fd(ssl_, descriptor_);
    SSL_set_accept_state(ssl_);
}

Connection::~Connection() {
    if (descriptor_ >= 0)
        close(descriptor_);
    SSL_free(ssl_);
}

void Connection::start() {
    interest_ = EPOLLIN;
    std::weak_ptr<Connection> self = weak_from_this();
    loop_.add(descriptor_, interest_, [self](uint32_t events) {
        if (auto connection = self.lock())
            connection->on_events(events);
    });
}

void Connection::want(uint32_t events) {
    if (closed() || events == interest_)
        return;
    interest_ = events;
    loop_.modify(descriptor_, events);
}

void Connection::close_now() {
    if (closed())
        return;
    loop_.remove(descriptor_);
    close(descriptor_);
    descriptor_ = -1;
    on_close_(*this);
}

void Connection::abort(bool reset) {
    if (closed())
        return;
    if (reset) {
        linger now{1, 0};
        setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    close_now();
}

void Connection::on_events(uint32_t events) {
    auto self = shared_from_this();
    if (!handshaken_) {
        ERR_clear_error();
        int result = SSL_do_handshake(ssl_);
        if (result != 1) {
            int error = SSL_get_error(ssl_, result);
            if (error == SSL_ERROR_WANT_READ)
                return want(EPOLLIN);
            if (error == SSL_ERROR_WANT_WRITE)
                return want(EPOLLOUT);
            return close_now();
        }
        handshaken_ = true;
        want(EPOLLIN);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_some();
    if (!closed())
        flush();
}

void Connection::read_some() {
    char buffer[16 * 1024];
    for (;;) {
        ERR_clear_error();
        int count = SSL_read(ssl_, buffer, sizeof buffer);
        if (count > 0) {
            in_.append(buffer, count);
            continue;
        }
        int error = SSL_get_error(ssl_, count);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            break;
        return close_now();
    }
    parse();
}

void Connection::bad_request() {
    Response response;
    response.status = 400;
    response.content_type = "text/plain; charset=utf-8";
    response.body = "400 Bad Request";
    response.close = true;
    in_.clear();
    busy_ = true;
    respond(response);
}

bool Connection::parse_head() {
    size_t end = in_.find("\r\n\r\n");
    if (end == std::string::npos) {
        if (in_.size() > head_limit)
            bad_request();
        return false;
    }
    request_ = Request();
    std::string_view text(in_.data(), end);
    size_t line_end = std::min(text.find("\r\n"), text.size());
    std::string_view line = text.substr(0, line_end);
    size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || last <= first || !line.substr(last + 1).starts_with("HTTP/1.") ||
        !parse_target(std::string(line.substr(first + 1, last - first - 1)), request_)) {
        bad_request();
        return false;
    }
    request_.method = std::string(line.substr(0, first));
    keep_alive_ = line.ends_with("1.1");
    text.remove_prefix(std::min(line_end + 2, text.size()));
    while (!text.empty()) {
        line_end = std::min(text.find("\r\n"), text.size());
        line = text.substr(0, line_end);
        text.remove_prefix(std::min(line_end + 2, text.size()));
        size_t colon = line.find(':');
        if (colon == std::string_view::npos)
            continue;
        std::string name = lower(std::string(line.substr(0, colon)));
        std::string value = trimmed(line.substr(colon + 1));
        if (name.starts_with("impersonate-"))
            request_.impersonation.emplace_back(name, value);
        std::string &slot = request_.headers[name];
        slot = slot.empty() ? value : slot + ", " + value;
    }
    in_.erase(0, end + 4);

    std::string connection = lower(request_.header("connection"));
    if (connection == "close")
        keep_alive_ = false;
    chunked_ = lower(request_.header("transfer-encoding")) == "chunked";
    body_left_ = 0;
    std::string length = request_.header("content-length");
    if (!length.empty()) {
        auto result = std::from_chars(length.data(), length.data() + length.size(), body_left_);
        if (result.ptr != length.data() + length.size()) {
            bad_request();
            return false;
        }
    }
    if (lower(request_.header("expect")) == "100-continue") {
        out_ += "HTTP/1.1 100 Continue\r\n\r\n";
        flush();
    }
    head_parsed_ = true;
    return true;
}

bool Connection::parse_chunked_body() {
    for (;;) {
        size_t line_end = in_.find("\r\n");
        if (line_end == std::string::npos)
            return false;
        size_t size = 0;
        if (std::from_chars(in_.data(), in_.data() + line_end, size, 16).ec != std::errc()) {
            bad_request();
            return false;
        }
        if (in_.size() < line_end + 2 + size + 2)
            return false;
        if (request_.body.size() + size > body_limit)
            request_.too_large = true;
        else
            request_.body.append(in_, line_end + 2, size);
        in_.erase(0, line_end + 2 + size + 2);
        if (size == 0)
            return true;
    }
}

void Connection::parse() {
    // The next request waits until this one is answered.
    if (busy_ || closed())
        return;
    if (!head_parsed_ && !parse_head())
        return;
    if (chunked_) {
        if (!parse_chunked_body())
            return;
    } else if (body_left_ > 0) {
        size_t take = std::min(body_left_, in_.size());
        if (request_.body.size() + take > body_limit || body_left_ > body_limit) {
            request_.too_large = true;
            request_.body.clear();
        } else {
            request_.body.append(in_, 0, take);
        }
        in_.erase(0, take);
        body_left_ -= take;
        // Too much: answered at once and cut off, without reading the rest.
        if (body_left_ > 0 && !request_.too_large)
            return;
    }
    head_parsed_ = false;
    busy_ = true;
    if (pending() == 0)
        bytes_per_second_ = 0;
    request_.received_us = now_us();
    fill_certificate(request_);
    on_request_(shared_from_this(), std::move(request_));
}

void Connection::fill_certificate(Request &request) {
    X509 *certificate = SSL_get0_peer_certificate(ssl_);
    if (!certificate)
        return;
    request.has_certificate = true;
    request.certificate_valid = SSL_get_verify_result(ssl_) == X509_V_OK;
    X509_NAME *name = X509_get_subject_name(certificate);
    for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_commonName, i)) >= 0;)
        request.common_name = name_entry(X509_NAME_get_entry(name, i));
    for (int i = -1; (i = X509_NAME_get_index_by_NID(name, NID_organizationName, i)) >= 0;)
        request.organisations.push_back(name_entry(X509_NAME_get_entry(name, i)));
}

std::string Connection::head(const Response &response, const std::string &framing) const {
    std::string text = "HTTP/1.1 " + std::to_string(response.status) + " " + status_text(response.status) + "\r\n";
    if (!response.is_forwarded)
        text += "Cache-Control: no-cache, private\r\nContent-Type: " + response.content_type + "\r\n";
    for (const auto &[name, value] : response.headers)
        text += name + ": " + value + "\r\n";
    if (response.close || !keep_alive_)
        text += "Connection: close\r\n";
    return text + framing + "\r\n\r\n";
}

void Connection::respond(const Response &response) {
    begin(response, response.body.size());
    write(response.body);
    end();
}

void Connection::begin(const Response &response, std::optional<size_t> length) {
    if (closed())
        return;
    chunked_answer_ = !length;
    if (response.close)
        keep_alive_ = false;
    out_ += head(response, length ? "Content-Length: " + std::to_string(*length) : "Transfer-Encoding: chunked");
    if (only_head_)
        limited_ = out_.size() - out_sent_;
}

void Connection::write(std::string_view data) {
    if (closed() || silent_ || data.empty())
        return;
    if (!chunked_answer_) {
        out_ += data;
        return;
    }
    char size[32];
    out_.append(size, snprintf(size, sizeof size, "%zx\r\n", data.size()));
    out_ += data;
    out_ += "\r\n";
    if (pending() > stream_limit)
        abort(false);
}

void Connection::end() {
    if (closed() || silent_)
        return;
    if (chunked_answer_)
        out_ += "0\r\n\r\n";
    busy_ = false;
    if (!keep_alive_)
        close_after_write_ = true;
    flush();
    if (!closed() && !close_after_write_ && !in_.empty())
        parse();
}

void Connection::limit(int64_t bytes_per_second, bool only_head) {
    bytes_per_second_ = bytes_per_second;
    only_head_ = only_head;
    limited_ = std::string::npos;
}

// How much of what waits may be sent now. With a limit that is a part, and the next one follows at the next tick.
size_t Connection::slice() {
    const size_t waiting = std::min<size_t>(pending(), 1 << 20);
    if (bytes_per_second_ == 0)
        return waiting;
    if (waits_for_tick_)
        return 0;
    waits_for_tick_ = true;
    const int64_t tick_ms = std::max<int64_t>(20, 1000 / bytes_per_second_);
    std::weak_ptr<Connection> self = weak_from_this();
    loop_.after(std::chrono::milliseconds(tick_ms), [self] {
        auto connection = self.lock();
        if (!connection || connection->closed())
            return;
        connection->waits_for_tick_ = false;
        connection->flush();
    });
    return std::min({waiting, limited_, static_cast<size_t>(std::max<int64_t>(1, bytes_per_second_ * tick_ms / 1000))});
}

void Connection::flush() {
    if (closed() || !handshaken_)
        return;
    while (pending() > 0) {
        const size_t some = slice();
        if (some == 0)
            return want(EPOLLIN);
        ERR_clear_error();
        int count = SSL_write(ssl_, out_.data() + out_sent_, static_cast<int>(some));
        if (count > 0) {
            out_sent_ += count;
            if (bytes_per_second_ > 0 && limited_ != std::string::npos && (limited_ -= count) == 0)
                bytes_per_second_ = 0;
            continue;
        }
        int error = SSL_get_error(ssl_, count);
        if (error == SSL_ERROR_WANT_WRITE || error == SSL_ERROR_WANT_READ) {
            // What was sent is dropped now and then, so that a slow reader does not keep all of it in memory.
            if (out_sent_ > (1 << 20)) {
                out_.erase(0, out_sent_);
                out_sent_ = 0;
            }
            return want(error == SSL_ERROR_WANT_WRITE ? EPOLLIN | EPOLLOUT : EPOLLIN);
        }
        return close_now();
    }
    out_.clear();
    out_sent_ = 0;
    if (close_after_write_) {
        SSL_shutdown(ssl_);
        return close_now();
    }
    want(EPOLLIN);
    if (on_drained_)
        on_drained_();
}

} // namespace kubesim
