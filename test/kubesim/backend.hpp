// What answers the requests that the server takes: the simulator, or another server behind the proxy.
#pragma once

#include "answer.hpp"
#include "certificates.hpp"

#include <memory>
#include <string>

namespace kubesim {

class Backend {
public:
    virtual ~Backend() = default;
    // Carries the request out and answers it, now or later.
    virtual void handle(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) = 0;
    // A call below /_sim/ that Control does not know.
    virtual void control(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) = 0;
    // The newest revision of what it stores, 0 when it does not know.
    virtual uint64_t revision() const = 0;
    // What tests' clients use to reach it here.
    virtual std::string kubeconfig(const std::string &url, const Certificates &certificates) const = 0;
    virtual void turn_end() {}
};

} // namespace kubesim
