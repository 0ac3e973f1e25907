// A scripted HTTPS server for tests of the transport: each test says what it does with a request, down to the bytes.
// One thread per connection; certificates are made when it starts.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace dbnet::test {

// PEM texts. The server's certificate is valid for 127.0.0.1 unless it is given another name.
struct Certificates {
    std::string ca, ca_key;
    std::string server_certificate, server_key;
    std::string client_certificate, client_key; // CN=tester
};
Certificates make_certificates(const std::string &server_name = "127.0.0.1");

// The same with another client certificate and key.
Certificates with_client(Certificates certificates, const std::string &client_name);

class Stream; // a socket with or without TLS

// One request and the means to answer it.
struct Exchange {
    std::string method, target, head, body; // head: request line and headers
    std::string client;                     // CN of the client's certificate
    int connection = 0;                     // from 1, in the order of acceptance
    int on_connection = 0;                  // from 1: which request of its connection

    std::string header(std::string_view name) const; // lower case name; "" when absent
    void answer(int status, std::string_view body, std::string_view extra_headers = {});
    bool send(std::string_view bytes); // false once the client is gone
    std::string read(size_t size);     // so many bytes; fewer once the client is gone
    void begin_stream();               // status 200, chunked
    bool chunk(std::string_view bytes);
    void end_stream();
    void close();       // ends the connection in order
    void reset();       // ends it with RST
    void wait_closed(); // until the client hangs up

    Stream *stream = nullptr;
    bool closed = false;
};

class Server {
public:
    using Behaviour = std::function<void(Exchange &)>;
    // tls_http2: the behaviour gets each connection once, with nothing read yet, and speaks HTTP/2 by itself.
    enum class Security { plain, tls, tls_with_client_certificate, tls_http2 };

    Server(Security security, Behaviour behaviour, Certificates certificates = {});
    ~Server();

    std::string url() const;
    int port() const { return port_; }
    const Certificates &certificates() const { return certificates_; }

    std::atomic<int> connections{0};
    std::atomic<int> requests{0};

private:
    void accept_loop();
    void serve(int socket, int number);

    Behaviour behaviour_;
    Certificates certificates_;
    void *context_ = nullptr; // SSL_CTX
    Security security_;
    int listener_ = -1;
    int port_ = 0;
    std::atomic<bool> stopping_{false};
    std::mutex mutex_; // of the two below
    std::vector<std::thread> threads_;
    std::vector<int> sockets_;
    std::thread acceptor_;
};

} // namespace dbnet::test
