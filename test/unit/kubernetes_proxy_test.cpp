// The transport through proxies: HTTP (CONNECT) and SOCKS5. The server's certificate is checked behind them, and what
// they see is an address and encrypted bytes.
#include "test/unit/kubernetes_transport_support.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

using namespace dbnet::test;

namespace {

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
}

// Takes one connection after the other, as both kinds of proxy.
class Proxy {
public:
    Proxy() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
        sockaddr_in address = loopback(0);
        socklen_t size = sizeof address;
        bind(listener_, reinterpret_cast<sockaddr *>(&address), size);
        listen(listener_, 8);
        getsockname(listener_, reinterpret_cast<sockaddr *>(&address), &size);
        port_ = ntohs(address.sin_port);
        thread_ = std::thread([this] {
            for (int client; (client = accept(listener_, nullptr, nullptr)) >= 0; close(client))
                serve(client);
        });
    }
    ~Proxy() {
        shutdown(listener_, SHUT_RDWR);
        thread_.join();
        close(listener_);
    }
    std::string url(const std::string &scheme, const std::string &user = {}) const {
        return scheme + "://" + user + "127.0.0.1:" + std::to_string(port_);
    }
    std::string seen() { // what it was asked, and what came through it
        const std::lock_guard lock(mutex_);
        return seen_;
    }

private:
    void note(std::string_view text) {
        const std::lock_guard lock(mutex_);
        seen_ += text;
    }
    void serve(int client) {
        char first = 0;
        recv(client, &first, 1, MSG_PEEK);
        const int port = first == 5 ? greet_socks(client) : greet_http(client);
        const int server = socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = loopback(port);
        if (connect(server, reinterpret_cast<const sockaddr *>(&address), sizeof address) == 0)
            relay(client, server);
        close(server);
    }
    int greet_http(int client) {
        std::string head;
        for (char c; !head.ends_with("\r\n\r\n") && recv(client, &c, 1, 0) == 1;)
            head += c;
        note(head);
        send(client, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL);
        return std::atoi(head.c_str() + head.find(':') + 1);
    }
    int greet_socks(int client) {
        unsigned char bytes[32];
        recv(client, bytes, 2, MSG_WAITALL);
        recv(client, bytes + 2, bytes[1], MSG_WAITALL);
        send(client, "\5\0", 2, MSG_NOSIGNAL);
        recv(client, bytes, 10, MSG_WAITALL); // version, CONNECT, 0, IPv4, address, port
        const int port = bytes[8] << 8 | bytes[9];
        note("socks " + std::to_string(bytes[4]) + ".0.0." + std::to_string(bytes[7]) + ':' + std::to_string(port));
        send(client, "\5\0\0\1\0\0\0\0\0\0", 10, MSG_NOSIGNAL);
        return port;
    }
    void relay(int client, int server) {
        pollfd ends[2] = {{client, POLLIN, 0}, {server, POLLIN, 0}};
        while (poll(ends, 2, patience_ms) > 0)
            for (int from = 0; from < 2; from++) {
                char bytes[4096];
                if (ends[from].revents == 0)
                    continue;
                const ssize_t size = recv(ends[from].fd, bytes, sizeof bytes, 0);
                if (size <= 0)
                    return;
                note({bytes, static_cast<size_t>(size)});
                send(ends[1 - from].fd, bytes, static_cast<size_t>(size), MSG_NOSIGNAL);
            }
    }

    int listener_;
    int port_ = 0;
    std::mutex mutex_;
    std::string seen_;
    std::thread thread_;
};

class KubernetesProxy : public TransportTest {};

} // namespace

TEST_F(KubernetesProxy, HttpProxiesAreAskedForATunnel) {
    Server server(Security::tls, [](Exchange &exchange) { exchange.answer(200, exchange.header("authorization")); });
    Proxy proxy;
    Connection connection = to(server);
    connection.token = "secret-token";
    connection.proxy_url = proxy.url("http", "user:password@");
    {
        Transport transport;
        const Response response = exchange(transport, connection, get());
        EXPECT_EQ(response.body, "Bearer secret-token") << response.transport_error;
    }
    const std::string seen = proxy.seen();
    EXPECT_TRUE(seen.starts_with("CONNECT 127.0.0.1:" + std::to_string(server.port()) + " HTTP/1.1\r\n")) << seen;
    EXPECT_NE(seen.find("Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n"), std::string::npos) << seen;
    EXPECT_EQ(seen.find("secret-token"), std::string::npos);
    EXPECT_EQ(shown_proxy_url(connection), proxy.url("http"));
}

TEST_F(KubernetesProxy, SocksProxiesToo) {
    Server server(Security::tls, answer_ok);
    Proxy proxy;
    Connection connection = to(server);
    connection.proxy_url = proxy.url("socks5");
    {
        Transport transport;
        const Response response = exchange(transport, connection, get());
        EXPECT_EQ(response.status, 200) << response.transport_error;
    }
    EXPECT_TRUE(proxy.seen().starts_with("socks 127.0.0.1:" + std::to_string(server.port()))) << proxy.seen();
}

TEST_F(KubernetesProxy, TheCertificateIsCheckedBehindThem) {
    Server server(Security::tls, answer_ok, make_certificates("api.test"));
    for (const char *scheme : {"http", "socks5"}) {
        Proxy proxy;
        Connection connection = to(server);
        connection.proxy_url = proxy.url(scheme);
        Transport transport;
        EXPECT_NE(exchange(transport, connection, get()).transport_error.find("certificate"), std::string::npos)
            << scheme;
    }
    for (const char *scheme : {"http", "socks5"}) {
        Proxy proxy;
        Connection connection = to(server);
        connection.proxy_url = proxy.url(scheme);
        connection.tls_server_name = "api.test";
        Transport transport;
        const Response response = exchange(transport, connection, get());
        EXPECT_EQ(response.status, 200) << scheme << ' ' << response.transport_error;
    }
}

TEST_F(KubernetesProxy, TheEnvironmentsProxiesAreNotUsed) {
    Server server(Security::tls, answer_ok);
    for (const char *name : {"https_proxy", "HTTPS_PROXY", "ALL_PROXY"})
        setenv(name, "http://127.0.0.1:1", 1);
    Transport transport;
    EXPECT_EQ(exchange(transport, to(server), get()).status, 200);
    for (const char *name : {"https_proxy", "HTTPS_PROXY", "ALL_PROXY"})
        unsetenv(name);
}

TEST_F(KubernetesProxy, OneThatIsGoneIsNamed) {
    Server server(Security::tls, answer_ok);
    Connection connection = to(server);
    connection.proxy_url = "http://user:password@127.0.0.1:1";
    Transport transport;
    const std::string error = exchange(transport, connection, get()).transport_error;
    EXPECT_NE(error.find("no connection to the proxy: Failed to connect to 127.0.0.1 port 1"), std::string::npos)
        << error;
    EXPECT_EQ(error.find("password"), std::string::npos) << error;
}
