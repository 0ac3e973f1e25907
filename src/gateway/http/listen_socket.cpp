// Binding of a listener's socket; see the header.
#include "gateway/http/listen_socket.hpp"

#include "gateway/http/http_error.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace dbnet::gateway {
namespace {

constexpr int backlog = 1024; // connections the kernel keeps until they are accepted; its own limit is somaxconn

union SocketAddress {
    sockaddr any;
    sockaddr_in four;
    sockaddr_in6 six;
};

// Returns its size.
socklen_t to_socket_address(const ListenAddress &address, SocketAddress &made) {
    made = {};
    if (inet_pton(AF_INET, address.host.c_str(), &made.four.sin_addr) == 1) {
        made.four.sin_family = AF_INET;
        made.four.sin_port = htons(address.port);
        return sizeof made.four;
    }
    inet_pton(AF_INET6, address.host.c_str(), &made.six.sin6_addr);
    made.six.sin6_family = AF_INET6;
    made.six.sin6_port = htons(address.port);
    return sizeof made.six;
}

HttpError cannot_listen(const ListenAddress &address, int error) {
    const char *hint = error == EADDRINUSE
                           ? "Another process or another database listens there: choose another port, or end it."
                       : error == EACCES        ? "Ports below 1024 are for privileged processes."
                       : error == EADDRNOTAVAIL ? "The machine does not have this address."
                                                : "";
    const bool is_six = address.host.find(':') != std::string::npos;
    return HttpError("cannot listen on " + (is_six ? "[" + address.host + "]" : address.host) + ":" +
                         std::to_string(address.port) + ": " + std::strerror(error),
                     hint);
}

} // namespace

ListenSocket::ListenSocket(const ListenAddress &address) {
    SocketAddress bound;
    socklen_t size = to_socket_address(address, bound);
    descriptor_ = socket(bound.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor_ < 0)
        throw cannot_listen(address, errno);
    // A socket of a former process may still be closing; a living one refuses us all the same.
    const int on = 1, off = 0;
    setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bound.any.sa_family == AF_INET6)
        setsockopt(descriptor_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off); // [::] takes IPv4, too
    if (bind(descriptor_, &bound.any, size) != 0 || listen(descriptor_, backlog) != 0) {
        const int error = errno;
        close(descriptor_);
        throw cannot_listen(address, error);
    }
    getsockname(descriptor_, &bound.any, &size);
    port_ = ntohs(bound.any.sa_family == AF_INET6 ? bound.six.sin6_port : bound.four.sin_port);
}

ListenSocket::~ListenSocket() {
    if (descriptor_ >= 0)
        close(descriptor_);
}

int ListenSocket::release() noexcept {
    const int descriptor = descriptor_;
    descriptor_ = -1;
    return descriptor;
}

} // namespace dbnet::gateway

#include "pg/no_postgres.hpp"
