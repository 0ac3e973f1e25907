// The Lease (coordination.k8s.io/v1) by which two servers that run the same database agree which of them writes to a
// cluster: what DBNet reads of it and what it writes. Pure C++; mirror worker.
#pragma once

#include "kubernetes/api.hpp"
#include "kubernetes/request.hpp"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

const Resource &lease_resource();

struct Lease {
    std::string holder;           // who may write; empty: nobody
    int64_t duration_s = 0;       // how long the holder may write after its last renewal
    std::string resource_version; // changes with every renewal
    std::string position;         // annotation dbnet.io/position: how far the holder's log had come, as a stamp
    int64_t term = 0;             // annotation dbnet.io/term: of the newest dbnet.claim()
    std::string renewed;          // as the holder's clock has it
    nlohmann::json body;          // the whole
};

// "namespace/name".
std::string key_of(const Lease &lease);

// Throws Failure when the body is no Lease.
Lease parse_lease(std::string_view body);

struct LeaseRenewal {
    std::string holder;
    int64_t duration_s = 0;
    std::string position;
    int64_t term = 0;
    std::string server; // the foreign server, for whoever looks at the Lease
    std::string now;    // MicroTime
};

Request read_lease_request(std::string_view name_space, std::string_view name);
// Fails with already_exists when there is one.
Request create_lease_request(std::string_view name_space, std::string_view name, const LeaseRenewal &renewal);
// In the place of the one that was read: fails with stale when somebody has written it since.
Request renew_lease_request(const Lease &read, const LeaseRenewal &renewal);

} // namespace dbnet::kubernetes
