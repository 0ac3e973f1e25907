// Endpoints and EndpointSlices of Services follow the pods that their selectors choose.
#include "endpoints_controller.hpp"

#include "conditions.hpp"
#include "pod_spec.hpp"
#include "selection.hpp"

namespace kubesim {

namespace {

bool has_address(const json &pod) {
    const std::string phase = text_of(pod.at("status"), "phase");
    return !text_of(pod.at("status"), "podIP").empty() && phase != "Succeeded" && phase != "Failed";
}

json reference(const json &pod) {
    const json &metadata = pod.at("metadata");
    return {{"kind", "Pod"},
            {"namespace", metadata.at("namespace")},
            {"name", metadata.at("name")},
            {"uid", metadata.at("uid")}};
}

// The pod's ports that a Service's ports lead to, by number or by name; those it lacks are left out.
json target_ports(const json &service, const json &pod) {
    json out = json::array();
    const json *ports = find(service.at("spec"), "ports");
    for (size_t i = 0; ports && i < ports->size(); i++) {
        const json &port = (*ports)[i], &target = port.at("targetPort");
        int64_t number = target.is_number() ? target.get<int64_t>() : 0;
        if (target.is_string())
            for (const auto &container : pod.at("spec").at("containers"))
                if (const json *own = find(container, "ports"))
                    for (const auto &one : *own)
                        if (text_of(one, "name") == target && one.at("protocol") == port.at("protocol"))
                            number = one.at("containerPort").get<int64_t>();
        if (number == 0)
            continue;
        json one = {{"port", number}, {"protocol", port.at("protocol")}};
        if (std::string name = text_of(port, "name"); !name.empty())
            one["name"] = name;
        out.push_back(std::move(one));
    }
    return out;
}

// Of the addresses of one set of ports: {"addresses": […], "notReadyAddresses": […], "ports": […]}.
json subsets_of(const json &service, const std::vector<json> &pods) {
    std::map<std::string, json> by_ports;
    for (const auto &pod : pods) {
        if (is_deleting(pod))
            continue;
        const json ports = target_ports(service, pod);
        json &subset = by_ports[dump(ports)];
        if (!ports.empty())
            subset["ports"] = ports;
        json address = {{"ip", pod.at("status").at("podIP")}, {"targetRef", reference(pod)}};
        address["nodeName"] = pod.at("spec").at("nodeName");
        subset[is_true(pod, "Ready") ? "addresses" : "notReadyAddresses"].push_back(std::move(address));
    }
    json out = json::array();
    for (auto &[ports, subset] : by_ports)
        out.push_back(std::move(subset));
    return out;
}

json endpoint_of(const json &pod) {
    const bool ready = is_true(pod, "Ready"), terminating = is_deleting(pod);
    return {{"addresses", json::array({pod.at("status").at("podIP")})},
            {"conditions", {{"ready", ready && !terminating}, {"serving", ready}, {"terminating", terminating}}},
            {"nodeName", pod.at("spec").at("nodeName")},
            {"targetRef", reference(pod)}};
}

} // namespace

void EndpointsController::observe(const Change &change) {
    if (change.kind == &services_)
        return queue_.add((change.after ? change.after : change.before)->key);
    if (change.kind != &pods_)
        return;
    const StoredPtr &pod = change.after ? change.after : change.before;
    const std::string name_space = text_of(pod->body.at("metadata"), "namespace") + "/";
    const Store::Objects &services = store_.objects(services_);
    for (auto it = services.lower_bound(name_space); it != services.end() && it->first.starts_with(name_space); ++it) {
        const json *selector = find(it->second->body.at("spec"), "selector");
        auto chosen = [&](const StoredPtr &one) {
            return one && selector && has_labels(*selector, find(one->body.at("metadata"), "labels"));
        };
        if (chosen(change.before) || chosen(change.after))
            queue_.add(it->first);
    }
}

std::string EndpointsController::slice_key(const Stored &service) const {
    const std::string name_space = text_of(service.body.at("metadata"), "namespace") + "/";
    const std::string uid = text_of(service.body.at("metadata"), "uid");
    const Store::Objects &slices = store_.objects(slices_);
    for (auto it = slices.lower_bound(name_space); it != slices.end() && it->first.starts_with(name_space); ++it)
        if (controller_uid(it->second->body) == uid)
            return it->first;
    return "";
}

void EndpointsController::sync(const std::string &key) {
    StoredPtr service = store_.get(services_, key);
    if (!service) // its EndpointSlices go with their owner
        return api_.remove_by_controller(endpoints_, key);
    const json &metadata = service->body.at("metadata");
    const json *selector = find(service->body.at("spec"), "selector");
    if (!selector || selector->empty() || is_deleting(service->body))
        return;
    const std::string name_space = text_of(metadata, "namespace") + "/";
    const Store::Objects &all = store_.objects(pods_);
    std::vector<json> pods;
    for (auto it = all.lower_bound(name_space); it != all.end() && it->first.starts_with(name_space); ++it)
        if (has_address(it->second->body) && has_labels(*selector, find(it->second->body.at("metadata"), "labels")))
            pods.push_back(it->second->body);
    json labels = metadata.value("labels", json::object());
    if (text_of(service->body.at("spec"), "clusterIP") == "None")
        labels["service.kubernetes.io/headless"] = "";
    put(endpoints_, key,
        {{"metadata", {{"name", metadata.at("name")}, {"namespace", metadata.at("namespace")}, {"labels", labels}}},
         {"subsets", subsets_of(service->body, pods)}});

    json endpoints = json::array(), ports = json::array();
    for (const auto &pod : pods)
        endpoints.push_back(endpoint_of(pod));
    if (!pods.empty())
        ports = target_ports(service->body, pods.front());
    for (auto &port : ports)
        if (!port.contains("name"))
            port["name"] = "";
    labels["kubernetes.io/service-name"] = metadata.at("name");
    labels["endpointslice.kubernetes.io/managed-by"] = "endpointslice-controller.k8s.io";
    json slice = {{"metadata",
                   {{"generateName", text_of(metadata, "name") + "-"},
                    {"namespace", metadata.at("namespace")},
                    {"labels", labels},
                    {"ownerReferences", json::array({controller_reference(services_, service->body)})}}},
                  {"addressType", "IPv4"},
                  {"endpoints", endpoints},
                  {"ports", ports}};
    put(slices_, slice_key(*service), std::move(slice));
}

// Creates, or changes what differs.
void EndpointsController::put(const Kind &kind, const std::string &key, json object) {
    if (key.empty() || !store_.get(kind, key))
        return api_.create_by_controller(kind, std::move(object), controller_manager);
    api_.control(kind, key, controller_manager, "", [&](json &live) {
        for (const auto &[name, value] : object.items())
            if (name != "metadata")
                live[name] = value;
            else if (value.contains("labels"))
                live["metadata"]["labels"] = value["labels"];
    });
}

} // namespace kubesim
