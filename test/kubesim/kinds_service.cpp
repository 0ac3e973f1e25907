// What is special about Service, Endpoints and EndpointSlice.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "selection.hpp"

#include <random>
#include <set>

namespace kubesim {

namespace {

bool is_headless(const json &spec) {
    return text_of(spec, "clusterIP") == "None";
}

bool needs_node_ports(const json &spec) {
    const std::string type = text_of(spec, "type");
    return type == "NodePort" || type == "LoadBalancer";
}

void service_defaults(json &object) {
    json &spec = object["spec"];
    auto set_if_empty = [&](const char *name, const char *value) {
        if (text_of(spec, name).empty())
            spec[name] = value;
    };
    set_if_empty("sessionAffinity", "None");
    set_if_empty("type", "ClusterIP");
    if (spec["sessionAffinity"] == "ClientIP" && !spec.contains("sessionAffinityConfig"))
        spec["sessionAffinityConfig"] = {{"clientIP", {{"timeoutSeconds", 10800}}}};
    if (spec["sessionAffinity"] == "None")
        spec.erase("sessionAffinityConfig");
    if (spec.contains("ports"))
        for (auto &port : spec["ports"]) {
            if (text_of(port, "protocol").empty())
                port["protocol"] = "TCP";
            if (port["targetPort"].is_null() || port["targetPort"] == 0 || port["targetPort"] == "")
                port["targetPort"] = port["port"];
        }
    if (needs_node_ports(spec))
        set_if_empty("externalTrafficPolicy", "Cluster");
    if (spec["type"] != "ExternalName")
        set_if_empty("internalTrafficPolicy", "Cluster");
    if (spec["type"] == "LoadBalancer" && !spec.contains("allocateLoadBalancerNodePorts"))
        spec["allocateLoadBalancerNodePorts"] = true;
}

// A real server remembers what it has given away; chance does here.
int64_t random_number(int64_t from, int64_t to) {
    static std::mt19937_64 random{std::random_device{}()};
    return std::uniform_int_distribution<int64_t>(from, to)(random);
}

void allocate(json &spec) {
    if (spec["type"] == "ExternalName")
        return;
    if (text_of(spec, "clusterIP").empty()) {
        const int64_t host = random_number(1, 0xFFFFE);
        spec["clusterIP"] = "10." + std::to_string(96 + (host >> 16)) + "." + std::to_string(host >> 8 & 0xFF) + "." +
                            std::to_string(host & 0xFF);
    }
    if (!spec.contains("clusterIPs"))
        spec["clusterIPs"] = json::array({spec["clusterIP"]});
    if (!spec.contains("ipFamilies"))
        spec["ipFamilies"] = json::array({"IPv4"});
    if (text_of(spec, "ipFamilyPolicy").empty())
        spec["ipFamilyPolicy"] = "SingleStack";
    if (needs_node_ports(spec) && spec.contains("ports"))
        for (auto &port : spec["ports"])
            if (integer_of(port, "nodePort", 0) == 0)
                port["nodePort"] = random_number(30000, 32767);
}

void service_prepare_create(json &object) {
    object["status"] = {{"loadBalancer", json::object()}};
    allocate(object["spec"]);
}

void service_prepare_update(json &after, const json &before, const std::string &subresource) {
    if (subresource == "status")
        return keep_member(after, before, "spec");
    keep_member(after, before, "status");
    json &spec = after["spec"];
    const json &old = before.at("spec");
    // What was given once stays when the writer says nothing about it.
    if (spec["type"] != "ExternalName" && text_of(old, "type") != "ExternalName")
        for (const char *name : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})
            if (!spec.contains(name))
                keep_member(spec, old, name);
    if (needs_node_ports(spec) && needs_node_ports(old) && spec.contains("ports") && old.contains("ports"))
        for (auto &port : spec["ports"])
            for (const auto &one : old["ports"])
                if (!port.contains("nodePort") && one.contains("nodePort") && port["port"] == one["port"] &&
                    port["protocol"] == one["protocol"])
                    port["nodePort"] = one["nodePort"];
    if (spec["type"] == "ClusterIP") {
        if (needs_node_ports(old))
            spec.erase("externalTrafficPolicy");
        if (needs_node_ports(old) && spec.contains("ports"))
            for (auto &port : spec["ports"])
                port.erase("nodePort");
    }
    if (spec["type"] == "ExternalName")
        for (const char *name : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"})
            spec.erase(name);
    allocate(spec);
}

void validate_ports(const json &spec, std::vector<FieldError> &errors) {
    const json *ports = find(spec, "ports");
    if ((!ports || ports->empty()) && !is_headless(spec) && spec.at("type") != "ExternalName")
        errors.push_back(FieldError::required("spec.ports", ""));
    std::set<std::string> names;
    for (size_t i = 0; ports && i < ports->size(); i++) {
        const json &port = (*ports)[i];
        const std::string path = "spec.ports[" + std::to_string(i) + "]", name = text_of(port, "name");
        if (ports->size() > 1 && name.empty())
            errors.push_back(FieldError::required(path + ".name", ""));
        if (!name.empty() && !names.insert(name).second)
            errors.push_back(FieldError::duplicate(path + ".name", go_quoted(name)));
        const std::string range = "must be between 1 and 65535, inclusive";
        if (int64_t number = integer_of(port, "port", 0); number < 1 || number > 65535)
            errors.push_back(FieldError::invalid(path + ".port", std::to_string(number), range));
        const std::string protocol = text_of(port, "protocol");
        if (protocol != "TCP" && protocol != "UDP" && protocol != "SCTP")
            errors.push_back(
                FieldError::not_supported(path + ".protocol", go_quoted(protocol), {"SCTP", "TCP", "UDP"}));
        const json &target = port.at("targetPort");
        if (target.is_number() && (target < 1 || target > 65535))
            errors.push_back(FieldError::invalid(path + ".targetPort", dump(target), range));
        else if (target.is_string() &&
                 target.get_ref<const std::string &>().find_first_not_of("0123456789") == std::string::npos)
            errors.push_back(
                FieldError::invalid(path + ".targetPort", dump(target), "must contain at least one letter (a-z)"));
    }
}

void service_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    const std::string type = text_of(spec, "type");
    validate_ports(spec, errors);
    if (type != "ClusterIP" && type != "NodePort" && type != "LoadBalancer" && type != "ExternalName")
        errors.push_back(FieldError::not_supported("spec.type", go_quoted(type),
                                                   {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort"}));
    if (type == "ExternalName" && text_of(spec, "externalName").empty())
        errors.push_back(FieldError::required("spec.externalName", ""));
    const std::string now = text_of(spec, "clusterIP");
    const std::string then = before ? text_of(before->at("spec"), "clusterIP") : "";
    if (!now.empty() && !then.empty() && now != then)
        errors.push_back(
            FieldError::invalid("spec.clusterIPs[0]", "[]string{" + go_quoted(now) + "}", "may not change once set"));
}

json service_cells(const json &object) {
    const json &spec = object.at("spec");
    auto or_none = [](const std::string &text) { return text.empty() ? "<none>" : text; };
    std::string external, ports;
    const json &balancer = object.at("status").at("loadBalancer");
    if (const json *addresses = find(balancer, "ingress"))
        for (const auto &one : *addresses)
            external += (external.empty() ? "" : ",") +
                        (text_of(one, "ip").empty() ? text_of(one, "hostname") : text_of(one, "ip"));
    if (external.empty() && text_of(spec, "type") == "LoadBalancer")
        external = "<pending>";
    if (text_of(spec, "type") == "ExternalName")
        external = text_of(spec, "externalName");
    if (const json *list = find(spec, "ports"))
        for (const auto &port : *list) {
            const int64_t node_port = integer_of(port, "nodePort", 0);
            ports += (ports.empty() ? "" : ",") + dump(port.at("port")) +
                     (node_port ? ":" + std::to_string(node_port) : "") + "/" + text_of(port, "protocol");
        }
    const json *selector = find(spec, "selector");
    return json::array({text_of(spec, "type"), or_none(text_of(spec, "clusterIP")), or_none(external), or_none(ports),
                        or_none(selector ? selector_text({{"matchLabels", *selector}}) : "")});
}

json endpoints_cells(const json &object) {
    std::vector<std::string> all;
    if (const json *subsets = find(object, "subsets"))
        for (const auto &subset : *subsets)
            if (const json *addresses = find(subset, "addresses"))
                for (const auto &address : *addresses) {
                    const json *ports = find(subset, "ports");
                    if (!ports)
                        all.push_back(text_of(address, "ip"));
                    for (size_t i = 0; ports && i < ports->size(); i++)
                        all.push_back(text_of(address, "ip") + ":" + dump((*ports)[i].at("port")));
                }
    std::string out;
    for (size_t i = 0; i < all.size() && i < 3; i++)
        out += (out.empty() ? "" : ",") + all[i];
    if (all.size() > 3)
        out += " + " + std::to_string(all.size() - 3) + " more...";
    return json::array({out.empty() ? "<none>" : out});
}

json slice_cells(const json &object) {
    auto joined = [](const std::vector<std::string> &all, const char *none) {
        std::string out;
        for (const auto &one : all)
            out += (out.empty() ? "" : ",") + one;
        return out.empty() ? none : out;
    };
    std::vector<std::string> ports, addresses;
    if (const json *list = find(object, "ports"))
        for (const auto &port : *list)
            ports.push_back(std::to_string(integer_of(port, "port", 0)));
    if (const json *list = find(object, "endpoints"); list && list->is_array())
        for (const auto &endpoint : *list)
            for (const auto &address : endpoint.at("addresses"))
                addresses.push_back(address);
    return json::array({text_of(object, "addressType"), joined(ports, "<unset>"), joined(addresses, "<unset>")});
}

} // namespace

Behaviour service_behaviour(const std::string &kind) {
    Behaviour out;
    if (kind == "Service") {
        out.name_rule = NameRule::letter_first;
        out.returns_deleted = true;
        out.field_selectors = {"metadata.name", "metadata.namespace", "spec.clusterIP", "spec.type"};
        out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
        out.set_defaults = service_defaults;
        out.prepare_create = service_prepare_create;
        out.prepare_update = service_prepare_update;
        out.validate = service_validate;
        out.columns = {{"Type", "string", "", "How the Service is exposed.", 0},
                       {"Cluster-IP", "string", "", "The IP address of the service.", 0},
                       {"External-IP", "string", "", "Addresses for which nodes accept traffic for this service.", 0},
                       {"Port(s)", "string", "", "The list of ports that are exposed by this service.", 0}};
        out.wide_columns = {{"Selector", "string", "", "Routes traffic to pods with these labels.", 1}};
        out.cells = service_cells;
    } else if (kind == "Endpoints") {
        out.columns = {{"Endpoints", "string", "", "The set of all endpoints.", 0}};
        out.cells = endpoints_cells;
    } else {
        out.prepare_create = [](json &object) { object["metadata"]["generation"] = 1; };
        out.prepare_update = [](json &after, const json &before, const std::string &) {
            for (const char *name : {"endpoints", "ports", "addressType"})
                if (after.value(name, json()) != before.value(name, json())) {
                    after["metadata"]["generation"] = integer_of(before.at("metadata"), "generation", 0) + 1;
                    break;
                }
        };
        out.columns = {{"AddressType", "string", "", "The type of address carried by this EndpointSlice.", 0},
                       {"Ports", "string", "", "The network ports exposed by each endpoint.", 0},
                       {"Endpoints", "string", "", "The endpoints of this slice.", 0}};
        out.cells = slice_cells;
    }
    return out;
}

} // namespace kubesim
