// The proxy as what answers requests: it passes them on to another server.
#pragma once

#include "backend.hpp"
#include "options.hpp"
#include "upstream.hpp"

#include <yaml-cpp/yaml.h>

namespace kubesim {

// A server and the kubeconfig that describes it.
struct DescribedServer {
    UpstreamServer server;
    YAML::Node kubeconfig; // null: none
};

// What the options say of it. Throws std::exception.
DescribedServer read_upstream(const Options &options);

class Proxy : public Backend {
public:
    Proxy(EventLoop &loop, const DescribedServer &described)
        : upstream_(loop, described.server), described_(described.kubeconfig) {}

    void handle(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) override;
    // Calls that are not the proxy's are the simulator's behind it.
    void control(const std::shared_ptr<const Request> &request, const std::shared_ptr<Answer> &answer) override {
        handle(request, answer);
    }
    uint64_t revision() const override { return 0; }
    // The upstream's, with the proxy's address and authority, and its certificate instead of others.
    std::string kubeconfig(const std::string &url, const Certificates &certificates) const override;

private:
    Upstream upstream_;
    YAML::Node described_;
};

} // namespace kubesim
