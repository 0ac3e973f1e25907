// A program that gives credentials (client.authentication.k8s.io), as a kubeconfig describes it. Plain data, compared
// by value: part of a Connection.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

namespace dbnet::kubernetes {

struct ExecPlugin {
    std::string api_version; // that it is asked in and must answer in
    std::string command;     // a path, or a name alone until somebody says which program that is; never searched for
    std::vector<std::string> arguments;
    std::vector<std::pair<std::string, std::string>> environment; // may hold secrets: never shown
    bool provide_cluster_info = false;
    std::string cluster_config; // JSON that the kubeconfig's cluster keeps for it; empty: none
    std::string install_hint;   // of the kubeconfig, for people who lack the program
    std::chrono::milliseconds time_limit{30'000};

    bool operator==(const ExecPlugin &) const = default;
};

} // namespace dbnet::kubernetes
