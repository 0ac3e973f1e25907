// The socket of a listener. Pure C++; gateway and client API workers.
#pragma once

#include "gateway/http/listen_address.hpp"

namespace dbnet::gateway {

// Listens from its construction on; closed with the object unless released.
class ListenSocket {
public:
    // Port 0: any free one. The address is taken for this process alone (no SO_REUSEPORT). Raises HttpError.
    explicit ListenSocket(const ListenAddress &address);
    ~ListenSocket();
    ListenSocket(const ListenSocket &) = delete;
    ListenSocket &operator=(const ListenSocket &) = delete;

    uint16_t port() const noexcept { return port_; }
    int release() noexcept; // the descriptor, now the caller's

private:
    int descriptor_ = -1;
    uint16_t port_ = 0;
};

} // namespace dbnet::gateway
