// The listening side: TLS, connections, service time, faults, the request log.
#include "server.hpp"

#include "errors.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace kubesim {

namespace {

template<class Object>
Object *from_pem(const std::string &pem, Object *(*read)(BIO *, Object **, pem_password_cb *, void *)) {
    BIO *bio = BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()));
    Object *object = read(bio, nullptr, nullptr, nullptr);
    BIO_free(bio);
    if (!object)
        throw std::runtime_error("cannot read a certificate or key");
    return object;
}

SSL_CTX *make_tls(const Certificates &certificates) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
    SSL_CTX_set_mode(tls,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    // A client that just closes the connection is no error worth reporting.
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    X509 *server = from_pem<X509>(certificates.server.certificate, PEM_read_bio_X509);
    X509 *authority = from_pem<X509>(certificates.authority.certificate, PEM_read_bio_X509);
    EVP_PKEY *key = from_pem<EVP_PKEY>(certificates.server.key, PEM_read_bio_PrivateKey);
    SSL_CTX_use_certificate(tls, server);
    SSL_CTX_use_PrivateKey(tls, key);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(tls), authority);
    SSL_CTX_add_client_CA(tls, authority);
    X509_free(server);
    X509_free(authority);
    EVP_PKEY_free(key);
    // Certificates are asked for, never demanded; a bad one is answered with 401 by the API, not by TLS.
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, [](int, X509_STORE_CTX *) { return 1; });
    const unsigned char context[] = "kubesim";
    SSL_CTX_set_session_id_context(tls, context, sizeof context - 1);
    SSL_CTX_set_alpn_select_cb(
        tls,
        [](SSL *, const unsigned char **out, unsigned char *length, const unsigned char *in, unsigned int in_length,
           void *) {
            static const unsigned char http11[] = "\x08http/1.1";
            unsigned char *chosen = nullptr;
            if (SSL_select_next_proto(&chosen, length, http11, sizeof http11 - 1, in, in_length) !=
                OPENSSL_NPN_NEGOTIATED)
                return SSL_TLSEXT_ERR_NOACK;
            *out = chosen;
            return SSL_TLSEXT_ERR_OK;
        },
        nullptr);
    return tls;
}

} // namespace

Server::Server(EventLoop &loop, WatchHub &watches, const Store &store, const Certificates &certificates,
               Options options)
    : loop_(loop), watches_(watches), store_(store), options_(options), tls_(make_tls(certificates)) {}

Server::~Server() {
    connections_.clear();
    if (listener_ >= 0)
        close(listener_);
    SSL_CTX_free(tls_);
}

int Server::listen(const std::string &address, int port) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(static_cast<uint16_t>(port));
    socklen_t length = sizeof where;
    if (inet_pton(AF_INET, address.c_str(), &where.sin_addr) != 1 ||
        bind(listener_, reinterpret_cast<sockaddr *>(&where), length) != 0 || ::listen(listener_, 1024) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr *>(&where), &length) != 0)
        throw std::runtime_error("cannot listen on " + address + ":" + std::to_string(port) + ": " + strerror(errno));
    return ntohs(where.sin_port);
}

void Server::serve(Handler handler, Control control) {
    handler_ = std::move(handler);
    control_ = std::move(control);
    loop_.add(listener_, EPOLLIN, [this](uint32_t) { accept_all(); });
}

void Server::accept_all() {
    for (;;) {
        int descriptor = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (descriptor < 0)
            return;
        if (refuse_) {
            linger now{1, 0};
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(descriptor);
            continue;
        }
        int on = 1;
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        auto connection = std::make_shared<Connection>(
            loop_, descriptor, SSL_new(tls_),
            [this](const std::shared_ptr<Connection> &from, Request &&request) {
                on_request(from, std::move(request));
            },
            [this](Connection &closed) {
                // Not now: its own functions are still on the stack.
                auto it = connections_.find(&closed);
                if (it == connections_.end())
                    return;
                auto keep = it->second;
                connections_.erase(it);
                loop_.after(std::chrono::microseconds(0), [keep] {});
            });
        connections_[connection.get()] = connection;
        connection->start();
    }
}

// As --max-mutating-requests-inflight has it.
Response Server::too_many_requests() {
    Response response;
    response.status = 429;
    response.content_type = "text/plain; charset=utf-8";
    response.headers = {{"Retry-After", "1"}};
    response.body = "Too many requests, please try again later.\n";
    return response;
}

void Server::on_request(const std::shared_ptr<Connection> &connection, Request &&request) {
    if (request.path.starts_with("/_sim/")) {
        connection->respond(control_(request));
        return;
    }
    auto kept = std::make_shared<Request>(std::move(request));
    std::weak_ptr<Connection> weak = connection;
    if (paused_) {
        waiting_.emplace_back(weak, kept);
        return;
    }
    auto delay = std::chrono::microseconds(static_cast<int64_t>(options_.service_time_ms * 1000));
    if (delay.count() <= 0)
        return handle(weak, kept);
    const bool changes = kept->method != "GET";
    if (changes && options_.changes_at_a_time > 0 && changing_ >= options_.changes_at_a_time)
        return finish(connection, *kept, too_many_requests());
    changing_ += changes;
    loop_.after(delay, [this, weak, kept, changes] {
        changing_ -= changes;
        handle(weak, kept);
    });
}

void Server::pause(bool on) {
    paused_ = on;
    if (on)
        return;
    auto waiting = std::move(waiting_);
    waiting_.clear();
    for (auto &[weak, request] : waiting)
        handle(weak, request);
}

void Server::handle(const std::weak_ptr<Connection> &weak, const std::shared_ptr<Request> &request) {
    auto connection = weak.lock();
    if (!connection || connection->closed())
        return;
    auto fault = faults.take(*request);
    if (!fault)
        return carry_out(connection, *request, nullptr);
    switch (fault->action) {
    case Fault::Action::reset_before:
        return connection->abort(true);
    case Fault::Action::hang:
        return;
    case Fault::Action::respond:
        return finish(connection, *request, fault->response);
    case Fault::Action::delay:
        return loop_.after(std::chrono::milliseconds(fault->delay_ms), [this, weak, request] {
            if (auto connection = weak.lock())
                carry_out(connection, *request, nullptr);
        });
    default:
        return carry_out(connection, *request, &*fault);
    }
}

void Server::carry_out(const std::shared_ptr<Connection> &connection, const Request &request, const Fault *fault) {
    uint64_t before = store_.revision();
    Response response = handler_(request);
    if (fault && fault->action == Fault::Action::reset_after) {
        log.write(request, 0, now_us(), store_.revision());
        return connection->abort(true);
    }
    if (fault)
        response = fault->response;
    // A real server's watchers see a change before its author has the answer about half of the time.
    if (store_.revision() != before && store_.revision() % 2 == 0)
        watches_.flush();
    if (!fault && response.status == 504 && !response.headers.empty() && options_.future_wait_ms > 0) {
        // The server hopes its cache will catch up before it says so.
        auto kept = std::make_shared<std::pair<Request, Response>>(request, std::move(response));
        std::weak_ptr<Connection> weak = connection;
        return loop_.after(std::chrono::milliseconds(options_.future_wait_ms), [this, weak, kept] {
            if (auto connection = weak.lock())
                finish(connection, kept->first, kept->second);
        });
    }
    finish(connection, request, response);
}

void Server::finish(const std::shared_ptr<Connection> &connection, const Request &request, const Response &response) {
    log.write(request, response.status, now_us(), store_.revision());
    if (response.watch)
        watches_.start(response.watch, connection, response);
    else
        connection->respond(response);
}

void Server::drop_connections(bool reset) {
    auto all = connections_;
    for (auto &[raw, connection] : all)
        connection->abort(reset);
}

} // namespace kubesim
