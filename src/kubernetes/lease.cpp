// Leases as JSON. Pure C++; mirror worker.
#include "kubernetes/lease.hpp"

#include "kubernetes/failure.hpp"
#include "kubernetes/json_access.hpp"

#include <charconv>

namespace dbnet::kubernetes {
namespace {

using nlohmann::json;

constexpr char position_annotation[] = "dbnet.io/position";
constexpr char term_annotation[] = "dbnet.io/term";
constexpr char server_annotation[] = "dbnet.io/server";

int64_t number_in(const std::string &text) {
    int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// The members that are not ours stay.
void renew(json &body, const LeaseRenewal &renewal) {
    json &annotations = body["metadata"]["annotations"];
    if (!annotations.is_object())
        annotations = json::object();
    annotations[position_annotation] = renewal.position;
    annotations[term_annotation] = std::to_string(renewal.term);
    annotations[server_annotation] = renewal.server;
    json &spec = body["spec"];
    if (!spec.is_object())
        spec = json::object();
    if (const std::string before = text_member(&spec, "holderIdentity"); before != renewal.holder) {
        spec["acquireTime"] = renewal.now;
        spec["leaseTransitions"] = before.empty() ? 0 : integer_member(&spec, "leaseTransitions", 0) + 1;
    }
    spec["holderIdentity"] = renewal.holder;
    spec["leaseDurationSeconds"] = renewal.duration_s;
    spec["renewTime"] = renewal.now;
}

Request lease_request(const char *method, std::string path, const json &body) {
    Request request;
    request.method = method;
    request.path = std::move(path);
    request.query = "fieldManager=dbnet";
    request.content_type = "application/json";
    request.body = body.dump(-1, ' ', false, json::error_handler_t::replace);
    // A second one is refused, as if by somebody else's; the look that follows finds that it was ours. A connection of
    // its own for each would cost the server a handshake every few seconds.
    request.idempotent = true;
    request.timeout = std::chrono::seconds(5);
    return request;
}

} // namespace

const Resource &lease_resource() {
    static const Resource resource{"coordination.k8s.io", "v1", "Lease", "leases", true};
    return resource;
}

std::string key_of(const Lease &lease) {
    const json *metadata = member(&lease.body, "metadata");
    return text_member(metadata, "namespace") + "/" + text_member(metadata, "name");
}

Lease parse_lease(std::string_view body) {
    Lease lease;
    lease.body = parse_json(body);
    const json *metadata = member(&lease.body, "metadata");
    const json *annotations = member(metadata, "annotations");
    const json *spec = member(&lease.body, "spec");
    lease.resource_version = text_member(metadata, "resourceVersion");
    if (text_member(&lease.body, "kind") != "Lease" || lease.resource_version.empty())
        throw Failure("the server's answer is no Lease");
    lease.holder = text_member(spec, "holderIdentity");
    lease.duration_s = integer_member(spec, "leaseDurationSeconds", 0);
    lease.position = text_member(annotations, position_annotation);
    lease.term = number_in(text_member(annotations, term_annotation));
    lease.renewed = text_member(spec, "renewTime");
    return lease;
}

Request read_lease_request(std::string_view name_space, std::string_view name) {
    Request request = get_request(lease_resource(), name_space, name);
    request.timeout = std::chrono::seconds(5);
    return request;
}

Request create_lease_request(std::string_view name_space, std::string_view name, const LeaseRenewal &renewal) {
    json body = {{"apiVersion", "coordination.k8s.io/v1"},
                 {"kind", "Lease"},
                 {"metadata", {{"name", name}, {"namespace", name_space}}}};
    renew(body, renewal);
    return lease_request("POST", resource_path(lease_resource(), name_space), body);
}

Request renew_lease_request(const Lease &read, const LeaseRenewal &renewal) {
    json body = read.body;
    renew(body, renewal);
    const json *metadata = member(&body, "metadata");
    return lease_request(
        "PUT", resource_path(lease_resource(), text_member(metadata, "namespace"), text_member(metadata, "name")),
        body);
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
