// The scripted HTTPS server of the transport's tests; see the header.
#include "test/unit/kubernetes_server.hpp"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

namespace dbnet::test {
namespace {

template<class T, void (*F)(T *)> struct Free {
    void operator()(T *object) const { F(object); }
};
using PrivateKey = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY, EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Free<X509, X509_free>>;
using Bio = std::unique_ptr<BIO, Free<BIO, BIO_free_all>>;

std::string text_of(BIO *bio) {
    char *data = nullptr;
    const long size = BIO_get_mem_data(bio, &data);
    return {data, static_cast<size_t>(size)};
}

std::string pem_of(X509 *certificate) {
    Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_X509(bio.get(), certificate);
    return text_of(bio.get());
}

std::string pem_of(EVP_PKEY *key) {
    Bio bio(BIO_new(BIO_s_mem()));
    PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
    return text_of(bio.get());
}

void add_extension(X509 *certificate, int which, const std::string &value) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(nullptr, nullptr, which, value.c_str());
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

Certificate make_certificate(const std::string &name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                             const std::vector<std::pair<int, std::string>> &extensions) {
    static std::atomic<long> serial{1};
    Certificate certificate(X509_new());
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 86400);
    X509_set_pubkey(certificate.get(), key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char *>(name.c_str()), -1, -1, 0);
    X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer == nullptr ? certificate.get() : issuer));
    for (const auto &[which, value] : extensions)
        add_extension(certificate.get(), which, value);
    X509_sign(certificate.get(), issuer_key, EVP_sha256());
    return certificate;
}

} // namespace

Certificates make_certificates(const std::string &server_name) {
    const PrivateKey ca_key(EVP_EC_gen("P-256")), server_key(EVP_EC_gen("P-256"));
    static std::atomic<int> authorities{0}; // an own name for each: they must not pass for one another
    const Certificate ca =
        make_certificate("authority " + std::to_string(++authorities), ca_key.get(), nullptr, ca_key.get(),
                         {{NID_basic_constraints, "critical,CA:TRUE"}, {NID_key_usage, "critical,keyCertSign"}});
    const bool is_address = server_name.find_first_not_of("0123456789.") == std::string::npos;
    const Certificate server = make_certificate("server", server_key.get(), ca.get(), ca_key.get(),
                                                {{NID_subject_alt_name, (is_address ? "IP:" : "DNS:") + server_name}});
    return with_client({pem_of(ca.get()), pem_of(ca_key.get()), pem_of(server.get()), pem_of(server_key.get()), {}, {}},
                       "tester");
}

Certificates with_client(Certificates certificates, const std::string &client_name) {
    const Bio ca_pem(BIO_new_mem_buf(certificates.ca.data(), -1));
    const Bio ca_key_pem(BIO_new_mem_buf(certificates.ca_key.data(), -1));
    const Certificate ca(PEM_read_bio_X509(ca_pem.get(), nullptr, nullptr, nullptr));
    const PrivateKey ca_key(PEM_read_bio_PrivateKey(ca_key_pem.get(), nullptr, nullptr, nullptr));
    const PrivateKey client_key(EVP_EC_gen("P-256"));
    const Certificate client =
        make_certificate(client_name, client_key.get(), ca.get(), ca_key.get(), {{NID_ext_key_usage, "clientAuth"}});
    certificates.client_certificate = pem_of(client.get());
    certificates.client_key = pem_of(client_key.get());
    return certificates;
}

class Stream {
public:
    Stream(int socket, SSL_CTX *context) : socket_(socket) {
        if (context != nullptr) {
            ssl_ = SSL_new(context);
            SSL_set_fd(ssl_, socket);
        }
    }
    ~Stream() {
        if (ssl_ != nullptr)
            SSL_free(ssl_);
    }
    bool handshake() { return ssl_ == nullptr || SSL_accept(ssl_) == 1; }
    int read(char *to, int size) {
        return ssl_ != nullptr ? SSL_read(ssl_, to, size)
                               : static_cast<int>(::recv(socket_, to, static_cast<size_t>(size), 0));
    }
    bool write(std::string_view bytes) {
        while (!bytes.empty()) {
            const int count = static_cast<int>(std::min<size_t>(bytes.size(), 65536));
            const int sent =
                ssl_ != nullptr
                    ? SSL_write(ssl_, bytes.data(), count)
                    : static_cast<int>(::send(socket_, bytes.data(), static_cast<size_t>(count), MSG_NOSIGNAL));
            if (sent <= 0)
                return false;
            bytes.remove_prefix(static_cast<size_t>(sent));
        }
        return true;
    }
    void close() {
        if (ssl_ != nullptr)
            SSL_shutdown(ssl_);
        ::shutdown(socket_, SHUT_RDWR);
    }
    void reset() {
        const linger no_lingering{1, 0};
        setsockopt(socket_, SOL_SOCKET, SO_LINGER, &no_lingering, sizeof no_lingering);
    }
    std::string client_name() const {
        X509 *certificate = ssl_ != nullptr ? SSL_get1_peer_certificate(ssl_) : nullptr;
        if (certificate == nullptr)
            return {};
        char name[256] = {};
        X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
        X509_free(certificate);
        return name;
    }

private:
    int socket_;
    SSL *ssl_ = nullptr;
};

std::string Exchange::header(std::string_view name) const {
    std::string lower = head;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char c) { return static_cast<char>(tolower(c)); });
    const std::string wanted = "\r\n" + std::string(name) + ": ";
    const size_t at = lower.find(wanted);
    if (at == std::string::npos)
        return {};
    return head.substr(at + wanted.size(), head.find("\r\n", at + 2) - at - wanted.size());
}

void Exchange::answer(int status, std::string_view text, std::string_view extra_headers) {
    send("HTTP/1.1 " + std::to_string(status) + " Status\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(text.size()) + "\r\n" + std::string(extra_headers) + "\r\n" + std::string(text));
}

bool Exchange::send(std::string_view bytes) {
    return stream->write(bytes);
}

std::string Exchange::read(size_t size) {
    std::string bytes(size, '\0');
    size_t got = 0;
    while (got < size) {
        const int count = stream->read(bytes.data() + got, static_cast<int>(size - got));
        if (count <= 0)
            break;
        got += static_cast<size_t>(count);
    }
    bytes.resize(got);
    return bytes;
}

void Exchange::begin_stream() {
    send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
}

bool Exchange::chunk(std::string_view bytes) {
    char size[32];
    snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return send(size + std::string(bytes) + "\r\n");
}

void Exchange::end_stream() {
    send("0\r\n\r\n");
}

void Exchange::close() {
    stream->close();
    closed = true;
}

void Exchange::reset() {
    stream->reset();
    closed = true;
}

void Exchange::wait_closed() {
    char rest[1024];
    while (stream->read(rest, sizeof rest) > 0) {
    }
    closed = true;
}

Server::Server(Security security, Behaviour behaviour, Certificates certificates)
    : behaviour_(std::move(behaviour)), certificates_(std::move(certificates)), security_(security) {
    if (security_ != Security::plain) {
        if (certificates_.ca.empty())
            certificates_ = make_certificates();
        SSL_CTX *context = SSL_CTX_new(TLS_server_method());
        context_ = context;
        const Bio certificate(BIO_new_mem_buf(certificates_.server_certificate.data(), -1));
        const Bio key(BIO_new_mem_buf(certificates_.server_key.data(), -1));
        const Bio ca(BIO_new_mem_buf(certificates_.ca.data(), -1));
        const Certificate x509(PEM_read_bio_X509(certificate.get(), nullptr, nullptr, nullptr));
        const Certificate authority(PEM_read_bio_X509(ca.get(), nullptr, nullptr, nullptr));
        const PrivateKey private_key(PEM_read_bio_PrivateKey(key.get(), nullptr, nullptr, nullptr));
        SSL_CTX_use_certificate(context, x509.get());
        SSL_CTX_use_PrivateKey(context, private_key.get());
        X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority.get());
        if (security_ == Security::tls_with_client_certificate) {
            SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
            SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char *>("test"),
                                           4); // else none is resumed
        }
        if (security_ == Security::tls_http2)
            SSL_CTX_set_alpn_select_cb(
                context,
                [](SSL *, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
                   unsigned offered_length, void *) {
                    static const unsigned char http2[] = "\x02h2";
                    return SSL_select_next_proto(const_cast<unsigned char **>(chosen), length, http2, 3, offered,
                                                 offered_length) == OPENSSL_NPN_NEGOTIATED
                               ? SSL_TLSEXT_ERR_OK
                               : SSL_TLSEXT_ERR_NOACK;
                },
                nullptr);
    }
    signal(SIGPIPE, SIG_IGN); // as in PostgreSQL's processes; OpenSSL writes without MSG_NOSIGNAL
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener_, reinterpret_cast<sockaddr *>(&address), length) != 0 || listen(listener_, 128) != 0 ||
        getsockname(listener_, reinterpret_cast<sockaddr *>(&address), &length) != 0)
        throw std::runtime_error("cannot listen on 127.0.0.1");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { accept_loop(); });
}

Server::~Server() {
    stopping_ = true;
    shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int socket : sockets_)
            shutdown(socket, SHUT_RDWR);
    }
    for (std::thread &thread : threads_)
        thread.join();
    for (const int socket : sockets_)
        ::close(socket);
    ::close(listener_);
    SSL_CTX_free(static_cast<SSL_CTX *>(context_));
}

std::string Server::url() const {
    return (security_ == Security::plain ? "http://127.0.0.1:" : "https://127.0.0.1:") + std::to_string(port_);
}

void Server::accept_loop() {
    for (;;) {
        const int socket = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (socket < 0 || stopping_) {
            if (socket >= 0)
                ::close(socket);
            return;
        }
        const std::lock_guard lock(mutex_);
        sockets_.push_back(socket);
        threads_.emplace_back([this, socket, number = ++connections] { serve(socket, number); });
    }
}

void Server::serve(int socket, int number) {
    {
        Stream stream(socket, static_cast<SSL_CTX *>(context_));
        std::string buffer;
        char bytes[16384];
        bool open = stream.handshake();
        if (open && security_ == Security::tls_http2) {
            Exchange exchange;
            exchange.stream = &stream;
            exchange.connection = number;
            behaviour_(exchange);
            open = false;
        }
        for (int count = 1; open; ++count) {
            size_t head_end;
            while ((head_end = buffer.find("\r\n\r\n")) == std::string::npos && open) {
                const int size = stream.read(bytes, sizeof bytes);
                open = size > 0;
                if (open)
                    buffer.append(bytes, static_cast<size_t>(size));
            }
            if (!open)
                break;
            Exchange exchange;
            exchange.stream = &stream;
            exchange.connection = number;
            exchange.on_connection = count;
            exchange.client = stream.client_name();
            exchange.head = buffer.substr(0, head_end + 2);
            buffer.erase(0, head_end + 4);
            exchange.method = exchange.head.substr(0, exchange.head.find(' '));
            exchange.target =
                exchange.head.substr(exchange.method.size() + 1,
                                     exchange.head.find(' ', exchange.method.size() + 1) - exchange.method.size() - 1);
            const std::string length = exchange.header("content-length");
            const size_t body_size = length.empty() ? 0 : std::stoul(length);
            while (buffer.size() < body_size && open) {
                const int size = stream.read(bytes, sizeof bytes);
                open = size > 0;
                if (open)
                    buffer.append(bytes, static_cast<size_t>(size));
            }
            if (!open)
                break;
            exchange.body = buffer.substr(0, body_size);
            buffer.erase(0, body_size);
            ++requests;
            behaviour_(exchange);
            open = !exchange.closed;
        }
    }
    // The socket's number must not be used again while the destructor may still shut it down, but its end must be seen
    // now.
    const std::lock_guard lock(mutex_);
    const auto found = std::find(sockets_.begin(), sockets_.end(), socket);
    if (found != sockets_.end()) {
        sockets_.erase(found);
        ::close(socket);
    }
}

} // namespace dbnet::test
