// What the kubelets of all Nodes do with the pods placed on them.
#include "kubelet.hpp"

#include "conditions.hpp"

#include <cstdlib>
#include <optional>

namespace kubesim {

using std::chrono::milliseconds;

namespace {

const char *const kubelet = "kubelet";

json condition(const char *type, bool on, const std::string &why, const std::string &message) {
    json out = {{"type", type},
                {"status", on ? "True" : "False"},
                {"lastProbeTime", nullptr},
                {"lastTransitionTime", rfc3339_now()}};
    if (!why.empty()) {
        out["reason"] = why;
        out["message"] = message;
    }
    return out;
}

std::string container_names(const json &pod) {
    std::string out;
    for (const auto &container : pod.at("spec").at("containers"))
        out += (out.empty() ? "" : " ") + text_of(container, "name");
    return out;
}

// `on`: all containers run and are ready; else they are being created.
void report_containers(json &pod, bool on) {
    json &status = pod["status"];
    const std::string now = rfc3339_now();
    const std::string why = on ? "" : "ContainersNotReady";
    const std::string message = on ? "" : "containers with unready status: [" + container_names(pod) + "]";
    json scheduled = condition("PodScheduled", true, "", "");
    if (const json *before = condition_of(pod, "PodScheduled"))
        scheduled = *before;
    status["conditions"] = json::array({condition("Initialized", true, "", ""), condition("Ready", on, why, message),
                                        condition("ContainersReady", on, why, message), scheduled});
    status["phase"] = on ? "Running" : "Pending";
    if (!status.contains("startTime"))
        status["startTime"] = now;
    json containers = json::array();
    for (const auto &container : pod.at("spec").at("containers")) {
        const std::string image = text_of(container, "image");
        json one = {{"name", text_of(container, "name")},
                    {"image", image},
                    {"imageID", ""},
                    {"ready", on},
                    {"started", on},
                    {"restartCount", 0},
                    {"lastState", json::object()}};
        if (on) {
            one["imageID"] = "kubesim://" + image;
            one["containerID"] = "kubesim://" + text_of(pod.at("metadata"), "uid") + "/" + text_of(container, "name");
            one["state"] = {{"running", {{"startedAt", now}}}};
        } else {
            one["state"] = {{"waiting", {{"reason", "ContainerCreating"}}}};
        }
        containers.push_back(std::move(one));
    }
    status["containerStatuses"] = std::move(containers);
}

// How a pod ends that is not restarted always: what its first container's command says, as far as it is known.
struct End {
    int exit_code = 0;
    int64_t seconds = 0; // after its start
};
std::optional<End> end_of(const json &pod) {
    const std::string policy = text_of(pod.at("spec"), "restartPolicy");
    const json *command = find(pod.at("spec").at("containers").at(0), "command");
    if (policy == "Always" || !command || command->empty())
        return std::nullopt;
    const std::string program = command->at(0);
    if (program == "true")
        return End{0, 0};
    if (program == "false" && policy == "Never") // else it would be started again and again
        return End{1, 0};
    if (program == "sleep" && command->size() == 2 && (*command)[1] != "infinity")
        return End{0, atoll((*command)[1].get<std::string>().c_str())};
    return std::nullopt;
}

void report_end(json &pod, int exit_code) {
    json &status = pod["status"];
    const std::string now = rfc3339_now();
    const char *why = exit_code == 0 ? "PodCompleted" : "PodFailed";
    json scheduled = *condition_of(pod, "PodScheduled");
    status["conditions"] =
        json::array({condition("Initialized", true, exit_code == 0 ? "PodCompleted" : "", ""),
                     condition("Ready", false, why, ""), condition("ContainersReady", false, why, ""), scheduled});
    status["phase"] = exit_code == 0 ? "Succeeded" : "Failed";
    for (auto &container : status["containerStatuses"]) {
        const json started = container["state"]["running"]["startedAt"];
        container["state"] = {{"terminated",
                               {{"exitCode", exit_code},
                                {"reason", exit_code == 0 ? "Completed" : "Error"},
                                {"startedAt", started},
                                {"finishedAt", now},
                                {"containerID", container["containerID"]}}}};
        container["ready"] = container["started"] = false;
    }
}

} // namespace

void Kubelet::observe(const Change &change) {
    if (change.kind == &pods_ && change.after)
        queue_.add(change.after->key);
    if (change.kind != &nodes_)
        return;
    // A Node that is new, Ready or gone changes what becomes of its pods.
    const std::string name = (change.after ? change.after : change.before)->key;
    const bool was = change.before && is_true(change.before->body, "Ready");
    const bool is = change.after && is_true(change.after->body, "Ready");
    if (was != is || !change.after)
        for (const auto &[key, pod] : store_.objects(pods_))
            if (text_of(pod->body.at("spec"), "nodeName") == name)
                queue_.add(key);
}

StoredPtr Kubelet::node_of(const json &pod) const {
    StoredPtr node = store_.get(nodes_, text_of(pod.at("spec"), "nodeName"));
    return node && is_true(node->body, "Ready") ? node : nullptr;
}

void Kubelet::sync(const std::string &key) {
    StoredPtr pod = store_.get(pods_, key);
    const std::string node = pod ? text_of(pod->body.at("spec"), "nodeName") : "";
    if (node.empty())
        return;
    if (!store_.get(nodes_, node))
        return api_.remove_by_controller(pods_, key, 0); // the collector of pods without a node
    if (!node_of(pod->body))
        return;
    if (is_deleting(pod->body))
        return ending_.add_after(key, milliseconds(options_.stop_delay_ms));
    if (text_of(pod->body.at("status"), "phase") != "Pending")
        return;
    if (pod->body.at("status").contains("containerStatuses"))
        return;
    api_.control(pods_, key, kubelet, "status", [&](json &object) {
        report_containers(object, false);
        object["status"]["hostIP"] = "127.0.0.1";
    });
    if (options_.start_delay_ms >= 0)
        starting_.add_after(key, milliseconds(options_.start_delay_ms));
}

void Kubelet::start(const std::string &key) {
    StoredPtr pod = store_.get(pods_, key);
    if (!pod || is_deleting(pod->body) || text_of(pod->body.at("status"), "phase") != "Pending" || !node_of(pod->body))
        return;
    api_.control(pods_, key, kubelet, "status", [&](json &object) {
        report_containers(object, true);
        const std::string address = new_address();
        object["status"]["podIP"] = address;
        object["status"]["podIPs"] = json::array({{{"ip", address}}});
    });
    if (const std::optional<End> end = end_of(pod->body))
        finishing_.add_after(key, std::chrono::seconds(end->seconds));
}

void Kubelet::finish(const std::string &key) {
    StoredPtr pod = store_.get(pods_, key);
    const std::optional<End> end = pod ? end_of(pod->body) : std::nullopt;
    if (!end || is_deleting(pod->body) || text_of(pod->body.at("status"), "phase") != "Running" || !node_of(pod->body))
        return;
    api_.control(pods_, key, kubelet, "status", [&](json &object) { report_end(object, end->exit_code); });
}

void Kubelet::end(const std::string &key) {
    StoredPtr pod = store_.get(pods_, key);
    if (pod && is_deleting(pod->body))
        api_.remove_by_controller(pods_, key, 0);
}

std::string Kubelet::new_address() {
    const uint32_t host = ++addresses_ % 0xFFFE + 1;
    return "10.244." + std::to_string(host >> 8) + "." + std::to_string(host & 0xFF);
}

} // namespace kubesim
