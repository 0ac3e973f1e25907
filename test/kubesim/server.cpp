// The listening side: TLS, connections, service time, faults, the request log.
#include "server.hpp"

#include "control.hpp"

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

Server::Server(EventLoop &loop, const Certificates &certificates, Options options)
    : loop_(loop), options_(options), tls_(make_tls(certificates)) {}

Server::~Server() {
    clients_.clear();
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

void Server::serve(Backend &backend, Control &control) {
    backend_ = &backend;
    control_ = &control;
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
                auto it = clients_.find(&closed);
                if (it == clients_.end())
                    return;
                auto keep = it->second;
                clients_.erase(it);
                loop_.after(std::chrono::microseconds(0), [keep] {});
            });
        clients_[connection.get()].connection = connection;
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

void Server::on_request(const std::shared_ptr<Connection> &connection, Request &&arrived) {
    const auto request = std::make_shared<const Request>(std::move(arrived));
    const bool is_call = request->path.starts_with("/_sim/");
    const auto log_status = [this, request](int status) {
        log.write(*request, status, now_us(), backend_->revision());
    };
    const auto answer = std::make_shared<Answer>(connection, request, is_call ? nullptr : &faults,
                                                 is_call ? Answer::OnStatus() : log_status);
    // The former one may be on the stack still: its end is what has let this request in.
    auto former = std::exchange(clients_[connection.get()].answer, answer);
    loop_.after(std::chrono::microseconds(0), [former] {});
    if (is_call) {
        const auto response = control_->answer(*request);
        return response ? answer->respond(*response) : backend_->control(request, answer);
    }
    answer->hold(holding_);
    if (paused_) {
        waiting_.emplace_back(answer, request);
        return;
    }
    const auto delay = std::chrono::microseconds(static_cast<int64_t>(options_.service_time_ms * 1000));
    if (delay.count() <= 0)
        return handle(answer, request);
    const bool changes = request->method != "GET";
    if (changes && options_.changes_at_a_time > 0 && changing_ >= options_.changes_at_a_time)
        return answer->respond(too_many_requests());
    changing_ += changes;
    loop_.after(delay, [this, weak = std::weak_ptr<Answer>(answer), request, changes] {
        changing_ -= changes;
        handle(weak, request);
    });
}

void Server::pause(bool on) {
    paused_ = on;
    if (on)
        return;
    for (auto &[answer, request] : std::exchange(waiting_, {}))
        handle(answer, request);
}

void Server::handle(const std::weak_ptr<Answer> &weak, const std::shared_ptr<const Request> &request) {
    const auto answer = weak.lock();
    if (!answer || answer->is_over())
        return;
    auto fault = faults.take(*request);
    if (!fault)
        return backend_->handle(request, answer);
    switch (fault->action) {
    case Fault::Action::reset_before:
        return answer->abort(true);
    case Fault::Action::hang:
        return;
    case Fault::Action::respond:
        return answer->respond(fault->response);
    case Fault::Action::delay:
        return loop_.after(std::chrono::milliseconds(fault->delay_ms), [this, weak, request] {
            if (auto answer = weak.lock())
                backend_->handle(request, answer);
        });
    default:
        answer->meet(std::move(*fault));
        return backend_->handle(request, answer);
    }
}

void Server::drop_connections(bool reset) {
    const auto all = clients_;
    for (const auto &[raw, client] : all)
        if (!client.answer || !client.answer->request().path.starts_with("/_sim/"))
            client.connection->abort(reset);
}

std::vector<std::shared_ptr<Answer>> Server::watches(const std::regex &path) const {
    std::vector<std::shared_ptr<Answer>> out;
    for (const auto &[raw, client] : clients_)
        if (client.answer && client.answer->is_open_watch() && std::regex_search(client.answer->request().target, path))
            out.push_back(client.answer);
    return out;
}

void Server::hold_watches(bool on) {
    holding_ = on;
    for (const auto &watch : watches(std::regex("")))
        watch->hold(on);
}

} // namespace kubesim
