// A request's way through libmicrohttpd: request line, headers, pieces of the body, answer, end. Runs inside
// HttpServer::run(), and in its user's process only.
//
// A refused body is read to its end and thrown away, within the request's deadline: an answer sent before is lost when
// the kernel resets a connection with unread data. Only a client that waits for "100 Continue" is answered at once.
#include "gateway/http/http_callbacks.hpp"

#include <netdb.h>
#include <strings.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>

namespace dbnet::gateway {
namespace {

constexpr size_t first_reservation = 1024 * 1024; // of a body, whatever its Content-Length promises

HttpServer &server_of(void *argument) noexcept {
    return *static_cast<HttpServer *>(argument);
}

std::string numeric_address(const sockaddr *address) {
    const socklen_t length = address->sa_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    char text[NI_MAXHOST] = "";
    getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    const std::string_view mapped = "::ffff:"; // an IPv4 client of an IPv6 socket
    return std::string_view(text).starts_with(mapped) && strchr(text, '.') ? text + mapped.size() : text;
}

// What tells where a body ends, counted and compared because parsers of others may see it differently.
struct Framing {
    int content_lengths = 0, transfer_encodings = 0, hosts = 0;
    bool is_chunked = false;
    std::string_view content_length;
};

MHD_Result note_framing(void *argument, MHD_ValueKind, const char *name, const char *value) noexcept {
    auto &framing = *static_cast<Framing *>(argument);
    if (strcasecmp(name, "content-length") == 0) {
        framing.content_lengths++;
        framing.content_length = value ? value : "";
    } else if (strcasecmp(name, "transfer-encoding") == 0) {
        framing.transfer_encodings++;
        framing.is_chunked = value && strcasecmp(value, "chunked") == 0;
    } else if (strcasecmp(name, "host") == 0) {
        framing.hosts++;
    }
    return MHD_YES;
}

// 0: no length that can be read.
size_t length_of(const Framing &framing) noexcept {
    size_t length = 0;
    const std::string_view text = framing.content_length;
    std::from_chars(text.data(), text.data() + text.size(), length);
    return length;
}

// What has arrived and nobody reads any more: the kernel answers its loss with a reset, and the client may lose the
// answer by that.
void discard_input(int descriptor) noexcept {
    char piece[16 * 1024];
    for (int i = 0; i < 64 && recv(descriptor, piece, sizeof piece, MSG_DONTWAIT) > 0; i++)
        continue;
}

} // namespace

void HttpCallbacks::add(HttpServer &server, std::vector<MHD_OptionItem> &options) {
    const auto add = [&](MHD_OPTION option, auto *function) {
        options.push_back({option, reinterpret_cast<intptr_t>(function), &server});
    };
    add(MHD_OPTION_NOTIFY_CONNECTION, &on_connection);
    add(MHD_OPTION_URI_LOG_CALLBACK, &on_request_line);
    add(MHD_OPTION_NOTIFY_COMPLETED, &on_completed);
}

void HttpCallbacks::on_connection(void *argument, MHD_Connection *connection, void **context,
                                  MHD_ConnectionNotificationCode code) noexcept {
    HttpServer &server = server_of(argument);
    auto &connections = server.connections_;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        auto *const closed = static_cast<HttpServer::Connection *>(*context);
        if (closed == nullptr)
            return;
        const size_t index = closed->index;
        std::swap(connections[index], connections.back());
        connections[index]->index = index;
        connections.pop_back();
        return;
    }
    try {
        const int descriptor = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        const sockaddr *address = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
        auto made = std::make_unique<HttpServer::Connection>(
            HttpServer::Connection{server, numeric_address(address), descriptor, server.tls_, {}, connections.size()});
        if (server.tls_)
            server.tls_->apply(static_cast<gnutls_session_int *>(
                MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session));
        server.expect_within(*made, server.limits_.idle);
        *context = made.get();
        connections.push_back(std::move(made));
    } catch (...) {
        *context = nullptr; // no memory: its requests are closed unanswered
    }
}

// The first that is known of a request: its time starts.
void *HttpCallbacks::on_request_line(void *argument, const char *uri, MHD_Connection *connection) noexcept {
    HttpServer &server = server_of(argument);
    auto *const client = static_cast<HttpServer::Connection *>(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
    if (client == nullptr)
        return nullptr;
    auto *const exchange = new (std::nothrow) Exchange(server, connection, &client->client);
    if (exchange == nullptr)
        return nullptr;
    server.expect_within(*client, server.limits_.request);
    for (const char *at = uri; (at = strstr(at, "%00")); at += 3)
        exchange->must_close_ = true; // the library would end the path here
    return exchange;
}

void HttpCallbacks::on_completed(void *argument, MHD_Connection *connection, void **context,
                                 MHD_RequestTerminationCode) noexcept {
    HttpServer &server = server_of(argument);
    auto *const client = static_cast<HttpServer::Connection *>(
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
    if (client)
        server.expect_within(*client, server.limits_.idle);
    delete static_cast<Exchange *>(*context);
    *context = nullptr;
}

MHD_Result HttpCallbacks::on_access(void *, MHD_Connection *, const char *url, const char *method, const char *,
                                    const char *data, size_t *size, void **context) noexcept {
    auto *const exchange = static_cast<Exchange *>(*context);
    if (exchange == nullptr)
        return MHD_NO; // no memory
    if (!exchange->has_started_)
        return start(*exchange, url, method);
    if (*size > 0) {
        guarded(*exchange, [&] { receive(*exchange, {data, *size}); });
        *size = 0;
        return MHD_YES;
    }
    return finish(*exchange);
}

template<class F> void HttpCallbacks::guarded(Exchange &exchange, F &&f) noexcept {
    try {
        f();
    } catch (...) {
        if (exchange.is_answered_)
            return;
        exchange.must_close_ = true;
        exchange.respond(503, {}, {}); // takes no memory of ours
    }
}

MHD_Result HttpCallbacks::start(Exchange &exchange, const char *url, const char *method) noexcept {
    HttpServer &server = exchange.server_;
    exchange.has_started_ = true;
    exchange.method_ = method;
    exchange.path_ = url;

    Framing framing;
    MHD_get_connection_values(exchange.connection_, MHD_HEADER_KIND, note_framing, &framing);
    const size_t header_size =
        MHD_get_connection_info(exchange.connection_, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    const bool has_nul = exchange.must_close_;
    exchange.must_close_ = true; // where the body ends, and so the next request begins, is in doubt
    guarded(exchange, [&] {
        if (header_size > server.limits_.header_bytes)
            refuse(exchange, 431, "the request's headers are too large\n");
        else if (has_nul || framing.hosts > 1)
            refuse(exchange, 400, has_nul ? "the path holds a NUL\n" : "more than one Host\n");
        else if (framing.content_lengths > 1 || (framing.content_lengths > 0 && framing.transfer_encodings > 0))
            refuse(exchange, 400, "more than one Content-Length, or one beside a Transfer-Encoding\n");
        else if (framing.transfer_encodings > 1 || (framing.transfer_encodings > 0 && !framing.is_chunked))
            refuse(exchange, 501, "the only Transfer-Encoding that is supported is chunked\n");
    });
    if (exchange.is_answered_)
        return send(exchange);
    exchange.must_close_ = false;

    if (server.is_stopping_)
        refuse_while_stopping(exchange);
    else
        guarded(exchange, [&] { look_at_headers(exchange, length_of(framing)); });
    const bool waits = exchange.header("Expect").has_value();
    return exchange.is_answered_ && waits ? send(exchange) : MHD_YES;
}

// Refuses what is not to send a body, or makes room for it.
void HttpCallbacks::look_at_headers(Exchange &exchange, size_t length) {
    HttpServer &server = exchange.server_;
    server.application_.on_headers(exchange);
    if (exchange.is_answered_)
        return;
    // Probes are answered all the same.
    const bool is_read = exchange.method_ == "GET" || exchange.method_ == "HEAD";
    if (length > server.limits_.body_bytes)
        refuse(exchange, 413, "the request's body is too large\n");
    else if (!is_read && server.in_flight_bytes_ >= server.limits_.in_flight_bytes)
        refuse(exchange, 429, "the server holds too much that is not answered, or whose answer is not read\n");
    else
        exchange.body_.reserve(std::min(length, first_reservation));
}

void HttpCallbacks::receive(Exchange &exchange, std::string_view piece) {
    HttpServer &server = exchange.server_;
    if (exchange.is_answered_)
        return; // thrown away
    if (exchange.body_.size() + piece.size() > server.limits_.body_bytes)
        return refuse(exchange, 413, "the request's body is too large\n");
    if (server.in_flight_bytes_ + piece.size() > server.limits_.in_flight_bytes)
        return refuse(exchange, 429, "the server holds too much that is not answered, or whose answer is not read\n");
    exchange.body_.append(piece);
    exchange.count(exchange.counted_bytes_ + piece.size());
}

// The body is complete, or an answer that came later is to be sent.
MHD_Result HttpCallbacks::finish(Exchange &exchange) noexcept {
    HttpServer &server = exchange.server_;
    if (!exchange.is_answered_) {
        auto *const client = static_cast<HttpServer::Connection *>(
            MHD_get_connection_info(exchange.connection_, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
        client->deadline = HttpServer::Clock::time_point::max();
        if (server.is_stopping_)
            refuse_while_stopping(exchange);
        else
            guarded(exchange, [&] { server.application_.on_request(exchange); });
    }
    if (exchange.is_answered_)
        return send(exchange);
    MHD_suspend_connection(exchange.connection_);
    exchange.is_waiting_ = true;
    exchange.next_ = server.waiting_;
    if (server.waiting_)
        server.waiting_->previous_ = &exchange;
    server.waiting_ = &exchange;
    return MHD_YES;
}

MHD_Result HttpCallbacks::send(Exchange &exchange) noexcept {
    auto *const client = static_cast<HttpServer::Connection *>(
        MHD_get_connection_info(exchange.connection_, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context);
    exchange.server_.expect_within(*client, exchange.server_.limits_.idle);
    if (exchange.response_ == nullptr)
        return MHD_NO; // no memory
    if (exchange.must_close_) {
        MHD_add_response_header(exchange.response_, "Connection", "close");
        discard_input(client->descriptor);
    }
    return MHD_queue_response(exchange.connection_, static_cast<unsigned>(exchange.status_), exchange.response_);
}

void HttpCallbacks::refuse_while_stopping(Exchange &exchange) noexcept {
    exchange.must_close_ = true;
    exchange.respond(503, {{"Retry-After", "1"}}, "the server stops\n");
}

void HttpCallbacks::refuse(Exchange &exchange, int status, std::string_view reason) {
    std::string().swap(exchange.body_);
    exchange.server_.application_.on_refused(exchange, status, reason);
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
