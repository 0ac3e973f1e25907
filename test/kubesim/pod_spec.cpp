// What the server adds to and demands of a pod's specification.
#include "pod_spec.hpp"

#include "validation.hpp"

#include <algorithm>
#include <set>

namespace kubesim {

namespace {

void set_if_empty(json &object, const char *name, const char *value) {
    if (text_of(object, name).empty())
        object[name] = value;
}

void set_if_missing(json &object, const char *name, int64_t value) {
    if (!object.contains(name))
        object[name] = value;
}

bool latest_image(const std::string &image) {
    if (image.find('@') != std::string::npos)
        return false;
    const size_t colon = image.rfind(':');
    const bool tagged = colon != std::string::npos && image.find('/', colon) == std::string::npos;
    return !tagged || image.substr(colon + 1) == "latest";
}

void default_http_get(json &handler) {
    if (json *get = handler.contains("httpGet") ? &handler["httpGet"] : nullptr) {
        set_if_empty(*get, "path", "/");
        set_if_empty(*get, "scheme", "HTTP");
    }
}

void default_probe(json &probe) {
    set_if_missing(probe, "timeoutSeconds", 1);
    set_if_missing(probe, "periodSeconds", 10);
    set_if_missing(probe, "successThreshold", 1);
    set_if_missing(probe, "failureThreshold", 3);
    default_http_get(probe);
}

void default_container(json &container, bool host_network) {
    set_if_empty(container, "terminationMessagePath", "/dev/termination-log");
    set_if_empty(container, "terminationMessagePolicy", "File");
    set_if_empty(container, "imagePullPolicy", latest_image(text_of(container, "image")) ? "Always" : "IfNotPresent");
    if (container.contains("ports"))
        for (auto &port : container["ports"]) {
            set_if_empty(port, "protocol", "TCP");
            if (host_network && port.contains("containerPort"))
                set_if_missing(port, "hostPort", port["containerPort"].get<int64_t>());
        }
    for (const char *name : {"livenessProbe", "readinessProbe", "startupProbe"})
        if (container.contains(name))
            default_probe(container[name]);
    if (container.contains("lifecycle"))
        for (auto &handler : container["lifecycle"])
            default_http_get(handler);
    if (container.contains("env"))
        for (auto &variable : container["env"])
            if (variable.contains("valueFrom") && variable["valueFrom"].contains("fieldRef"))
                set_if_empty(variable["valueFrom"]["fieldRef"], "apiVersion", "v1");
}

void default_volume(json &volume) {
    if (volume.size() == 1) // only a name
        volume["emptyDir"] = json::object();
    for (const char *source : {"secret", "configMap", "downwardAPI", "projected"})
        if (volume.contains(source))
            set_if_missing(volume[source], "defaultMode", 0644);
}

void require_one_of(const json &object, const char *name, const std::string &path,
                    const std::vector<std::string> &allowed, std::vector<FieldError> &errors) {
    const std::string value = text_of(object, name);
    if (value.empty())
        errors.push_back(FieldError::required(path, ""));
    else if (std::find(allowed.begin(), allowed.end(), value) == allowed.end())
        errors.push_back(FieldError::not_supported(path, go_quoted(value), allowed));
}

void check_port(const json &port, const char *name, const std::string &path, std::vector<FieldError> &errors) {
    const int64_t value = integer_of(port, name, 0);
    if (value < 1 || value > 65535)
        errors.push_back(
            FieldError::invalid(path + "." + name, std::to_string(value), "must be between 1 and 65535, inclusive"));
}

void validate_ports(const json &ports, const std::string &path, std::vector<FieldError> &errors) {
    std::set<std::string> names;
    for (size_t i = 0; i < ports.size(); i++) {
        const json &port = ports[i];
        const std::string at = path + "[" + std::to_string(i) + "]";
        const std::string name = text_of(port, "name");
        if (!name.empty() && !names.insert(name).second)
            errors.push_back(FieldError::duplicate(at + ".name", go_quoted(name)));
        if (integer_of(port, "containerPort", 0) == 0)
            errors.push_back(FieldError::required(at + ".containerPort", ""));
        else
            check_port(port, "containerPort", at, errors);
        if (port.contains("hostPort"))
            check_port(port, "hostPort", at, errors);
        require_one_of(port, "protocol", at + ".protocol", {"SCTP", "TCP", "UDP"}, errors);
    }
}

void validate_mounts(const json &mounts, const std::set<std::string> &volumes, const std::string &path,
                     std::vector<FieldError> &errors) {
    std::set<std::string> places;
    for (size_t i = 0; i < mounts.size(); i++) {
        const std::string at = path + "[" + std::to_string(i) + "]";
        const std::string name = text_of(mounts[i], "name"), place = text_of(mounts[i], "mountPath");
        if (name.empty())
            errors.push_back(FieldError::required(at + ".name", ""));
        if (!volumes.contains(name))
            errors.push_back(FieldError::not_found(at + ".name", go_quoted(name)));
        if (place.empty())
            errors.push_back(FieldError::required(at + ".mountPath", ""));
        if (!places.insert(place).second)
            errors.push_back(FieldError::invalid(at + ".mountPath", go_quoted(place), "must be unique"));
    }
}

void validate_container(const json &container, const std::set<std::string> &volumes, const std::string &path,
                        std::vector<FieldError> &errors) {
    const std::string name = text_of(container, "name");
    if (name.empty())
        errors.push_back(FieldError::required(path + ".name", ""));
    else
        for (const auto &why : name_errors(NameRule::label, name))
            errors.push_back(FieldError::invalid(path + ".name", go_quoted(name), why));
    if (text_of(container, "image").empty())
        errors.push_back(FieldError::required(path + ".image", ""));
    require_one_of(container, "terminationMessagePolicy", path + ".terminationMessagePolicy",
                   {"File", "FallbackToLogsOnError"}, errors);
    if (const json *ports = find(container, "ports"))
        validate_ports(*ports, path + ".ports", errors);
    if (const json *variables = find(container, "env"))
        for (size_t i = 0; i < variables->size(); i++)
            if (text_of((*variables)[i], "name").empty())
                errors.push_back(FieldError::required(path + ".env[" + std::to_string(i) + "].name", ""));
    if (const json *mounts = find(container, "volumeMounts"))
        validate_mounts(*mounts, volumes, path + ".volumeMounts", errors);
    require_one_of(container, "imagePullPolicy", path + ".imagePullPolicy", {"Always", "IfNotPresent", "Never"},
                   errors);
}

} // namespace

int64_t integer_of(const json &object, const char *name, int64_t otherwise) {
    const json *value = find(object, name);
    return value && value->is_number_integer() ? value->get<int64_t>() : otherwise;
}

void default_pod_spec(json &spec) {
    const bool host_network = spec.contains("hostNetwork");
    for (const char *list : {"initContainers", "containers"})
        if (spec.contains(list) && spec[list].is_array())
            for (auto &container : spec[list])
                default_container(container, host_network);
    if (spec.contains("volumes"))
        for (auto &volume : spec["volumes"])
            default_volume(volume);
    set_if_empty(spec, "dnsPolicy", "ClusterFirst");
    set_if_empty(spec, "restartPolicy", "Always");
    set_if_empty(spec, "schedulerName", "default-scheduler");
    set_if_missing(spec, "terminationGracePeriodSeconds", 30);
    if (!spec.contains("securityContext"))
        spec["securityContext"] = json::object();
    // The old name of serviceAccountName is written beside it.
    if (std::string account = text_of(spec, "serviceAccountName"); !account.empty())
        spec["serviceAccount"] = account;
}

void validate_pod_spec(const json &spec, const std::string &path, std::vector<FieldError> &errors) {
    std::set<std::string> volumes;
    if (const json *list = find(spec, "volumes"))
        for (size_t i = 0; i < list->size(); i++) {
            const std::string name = text_of((*list)[i], "name"), at = path + ".volumes[" + std::to_string(i) + "]";
            if (name.empty())
                errors.push_back(FieldError::required(at + ".name", ""));
            else if (!volumes.insert(name).second)
                errors.push_back(FieldError::duplicate(at + ".name", go_quoted(name)));
        }
    std::set<std::string> names;
    for (const char *list : {"containers", "initContainers"}) {
        const json *containers = find(spec, list);
        const std::string all = path + "." + list;
        if ((!containers || containers->empty()) && list == std::string("containers"))
            errors.push_back(FieldError::required(all, ""));
        for (size_t i = 0; containers && i < containers->size(); i++) {
            const std::string at = all + "[" + std::to_string(i) + "]", name = text_of((*containers)[i], "name");
            validate_container((*containers)[i], volumes, at, errors);
            if (!names.insert(name).second)
                errors.push_back(FieldError::duplicate(at + ".name", go_quoted(name)));
        }
    }
    require_one_of(spec, "restartPolicy", path + ".restartPolicy", {"Always", "OnFailure", "Never"}, errors);
    require_one_of(spec, "dnsPolicy", path + ".dnsPolicy",
                   {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"}, errors);
    if (const json *labels = find(spec, "nodeSelector"))
        validate_labels(*labels, path + ".nodeSelector", errors);
}

} // namespace kubesim
