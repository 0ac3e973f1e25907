// Jobs: pods until enough have succeeded or too many have failed.
#include "job_controller.hpp"

#include "conditions.hpp"
#include "owned_pods.hpp"
#include "pod_spec.hpp"
#include "times.hpp"

#include <algorithm>

namespace kubesim {

using std::chrono::seconds;

namespace {

const char *const tracking = "batch.kubernetes.io/job-tracking";
const char *const index_annotation = "batch.kubernetes.io/job-completion-index";

bool is_tracked(const json &pod) {
    const json *finalizers = find(pod.at("metadata"), "finalizers");
    return finalizers && std::find(finalizers->begin(), finalizers->end(), json(tracking)) != finalizers->end();
}

bool is_over(const json &job) {
    return is_true(job, "Complete") || is_true(job, "Failed");
}

bool is_suspended(const json &job) {
    const json *suspend = find(job.at("spec"), "suspend");
    return suspend && *suspend == true;
}

bool is_indexed(const json &job) {
    return text_of(job.at("spec"), "completionMode") == "Indexed";
}

int64_t index_of(const json &pod) {
    const json *annotations = find(pod.at("metadata"), "annotations");
    const std::string text = annotations ? text_of(*annotations, index_annotation) : "";
    return text.empty() ? -1 : std::stoll(text);
}

// "0-2,4"
std::string ranges(const std::set<int64_t> &indexes) {
    std::string out;
    for (auto it = indexes.begin(); it != indexes.end();) {
        const int64_t first = *it;
        int64_t last = first;
        while (++it != indexes.end() && *it == last + 1)
            last = *it;
        out += (out.empty() ? "" : ",") + std::to_string(first);
        if (last > first)
            out += (last == first + 1 ? "," : "-") + std::to_string(last);
    }
    return out;
}

std::set<int64_t> parse_ranges(const std::string &text) {
    std::set<int64_t> out;
    for (size_t at = 0; at < text.size();) {
        const size_t end = std::min(text.find(',', at), text.size());
        const std::string part = text.substr(at, end - at);
        const size_t dash = part.find('-');
        const int64_t first = std::stoll(part),
                      last = dash == std::string::npos ? first : std::stoll(part.substr(dash + 1));
        for (int64_t index = first; index <= last; index++)
            out.insert(index);
        at = end + 1;
    }
    return out;
}

json condition(const char *type, const char *status, const char *reason, const char *message) {
    json out = {
        {"type", type}, {"status", status}, {"lastProbeTime", rfc3339_now()}, {"lastTransitionTime", rfc3339_now()}};
    if (*reason) {
        out["reason"] = reason;
        out["message"] = message;
    }
    return out;
}

// Seconds that a new pod waits after so many failures: 10, doubled each time, six minutes at most.
int64_t backoff(int64_t failures) {
    return failures == 0 ? 0 : std::min<int64_t>(360, 10LL << std::min<int64_t>(failures - 1, 6));
}

} // namespace

void JobController::observe(const Change &change) {
    if (change.kind == &jobs_ && change.after)
        queue_.add(change.after->key);
    if (change.kind != &pods_)
        return;
    for (const auto &key : owner_keys(change))
        queue_.add(key);
    // Whose Job is gone, or no longer theirs.
    if (change.after && is_tracked(change.after->body))
        abandoned_.add(change.after->key);
}

void JobController::let_go(const std::string &key) {
    StoredPtr pod = store_.get(pods_, key);
    if (!pod || !is_tracked(pod->body))
        return;
    if (const std::string uid = controller_uid(pod->body); !uid.empty())
        for (const auto &[name, job] : store_.objects(jobs_))
            if (text_of(job->body.at("metadata"), "uid") == uid)
                return;
    api_.control(pods_, key, controller_manager, "", [](json &object) {
        std::erase(object["metadata"]["finalizers"].get_ref<json::array_t &>(), json(tracking));
    });
}

JobController::Count JobController::count(const Stored &job) const {
    const json &status = job.body.at("status");
    Count out;
    out.succeeded = integer_of(status, "succeeded", 0);
    out.failed = integer_of(status, "failed", 0);
    out.done = parse_ranges(text_of(status, "completedIndexes"));
    for (const auto &pod : controlled_by(store_, pods_, job.body)) {
        if (is_active(pod->body)) {
            out.active++;
            out.ready += is_true(pod->body, "Ready");
            out.running.push_back(pod);
            out.taken.insert(index_of(pod->body));
        } else if (is_tracked(pod->body)) {
            // A pod that was deleted before its end failed.
            const bool good = text_of(pod->body.at("status"), "phase") == "Succeeded";
            const bool first = !is_indexed(job.body) || !good || out.done.insert(index_of(pod->body)).second;
            (good ? out.succeeded : out.failed) += first;
            out.ended.push_back(pod);
        }
    }
    out.taken.insert(out.done.begin(), out.done.end());
    return out;
}

void JobController::sync(const std::string &key) {
    StoredPtr job = store_.get(jobs_, key);
    if (!job)
        return;
    Count pods = count(*job);
    json end;
    if (is_over(job->body)) {
        clean_up(*job);
    } else if (!is_deleting(job->body)) {
        end = end_of(*job, pods);
        if (!end.is_null() || is_suspended(job->body)) {
            remove_pods(pods.running, pods.running.size());
            pods.active = pods.ready = 0;
        } else {
            create_pods(*job, pods);
            const Count now = count(*job);
            pods.active = now.active;
            pods.ready = now.ready;
        }
    }
    report(*job, pods, end);
    for (const auto &pod : pods.ended)
        api_.control(pods_, pod->key, controller_manager, "", [](json &object) {
            std::erase(object["metadata"]["finalizers"].get_ref<json::array_t &>(), json(tracking));
        });
}

json JobController::end_of(const Stored &job, const Count &pods) {
    const json &spec = job.body.at("spec"), *wanted = find(spec, "completions");
    if (wanted ? pods.succeeded >= wanted->get<int64_t>() : pods.succeeded > 0 && pods.active == 0)
        return condition("Complete", "True", "", "");
    if (pods.failed > integer_of(spec, "backoffLimit", 6))
        return condition("Failed", "True", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    const std::string start = text_of(job.body.at("status"), "startTime");
    const int64_t limit = integer_of(spec, "activeDeadlineSeconds", -1);
    if (limit < 0 || start.empty() || is_suspended(job.body))
        return nullptr;
    const int64_t left = seconds_of(start) + limit - time(nullptr);
    if (left <= 0)
        return condition("Failed", "True", "DeadlineExceeded", "Job was active longer than specified deadline");
    queue_.add_after(job.key, seconds(left));
    return nullptr;
}

void JobController::create_pods(const Stored &job, const Count &pods) {
    const json &spec = job.body.at("spec"), *completions = find(spec, "completions");
    const int64_t parallelism = integer_of(spec, "parallelism", 1);
    int64_t wanted = pods.succeeded > 0 ? pods.active : parallelism;
    if (completions)
        wanted = std::min(parallelism, completions->get<int64_t>() - pods.succeeded);
    if (pods.active > wanted)
        return remove_pods(pods.running, static_cast<size_t>(pods.active - wanted));
    if (pods.active == wanted)
        return;
    // The last failure is seen while its pod is there.
    time_t last = 0;
    for (const auto &pod : controlled_by(store_, pods_, job.body))
        if (text_of(pod->body.at("status"), "phase") == "Failed")
            if (const json *ready = condition_of(pod->body, "Ready"))
                last = std::max(last, seconds_of(text_of(*ready, "lastTransitionTime")));
    if (const int64_t wait = last ? last + backoff(pods.failed) - time(nullptr) : 0; wait > 0)
        return queue_.add_after(job.key, seconds(wait));
    int64_t index = 0;
    for (int64_t i = pods.active; i < wanted; i++) {
        json pod = pod_of(jobs_, job.body);
        pod["metadata"]["finalizers"] = json::array({tracking});
        if (is_indexed(job.body)) {
            while (pods.taken.contains(index))
                index++;
            const std::string name = text_of(job.body.at("metadata"), "name") + "-" + std::to_string(index);
            pod["metadata"]["generateName"] = name + "-";
            pod["metadata"]["annotations"][index_annotation] = std::to_string(index);
            pod["spec"]["hostname"] = name;
            const json path = {{"apiVersion", "v1"},
                               {"fieldPath", std::string("metadata.annotations['") + index_annotation + "']"}};
            for (auto &container : pod["spec"]["containers"])
                container["env"].push_back({{"name", "JOB_COMPLETION_INDEX"}, {"valueFrom", {{"fieldRef", path}}}});
            index++;
        }
        api_.create_by_controller(pods_, std::move(pod), controller_manager);
    }
}

// Those that are not ready yet first, then the newest.
void JobController::remove_pods(const std::vector<StoredPtr> &pods, size_t how_many) {
    std::vector<StoredPtr> order = pods;
    std::stable_sort(order.begin(), order.end(), [](const StoredPtr &a, const StoredPtr &b) {
        const bool ready = is_true(a->body, "Ready"), other = is_true(b->body, "Ready");
        return ready != other ? other
                              : text_of(a->body.at("metadata"), "creationTimestamp") >
                                    text_of(b->body.at("metadata"), "creationTimestamp");
    });
    for (size_t i = 0; i < how_many && i < order.size(); i++)
        api_.remove_by_controller(pods_, order[i]->key);
}

void JobController::report(const Stored &job, Count pods, const json &end) {
    json status = job.body.at("status");
    const bool suspended = is_suspended(job.body), was = is_true(job.body, "Suspended");
    if (!is_over(job.body) && !suspended && !status.contains("startTime"))
        status["startTime"] = rfc3339_now();
    if (!is_over(job.body) && suspended != was && (suspended || condition_of(job.body, "Suspended"))) {
        json &conditions = status["conditions"];
        if (!conditions.is_array())
            conditions = json::array();
        std::erase_if(conditions.get_ref<json::array_t &>(),
                      [](const json &one) { return text_of(one, "type") == "Suspended"; });
        conditions.push_back(suspended ? condition("Suspended", "True", "JobSuspended", "Job suspended")
                                       : condition("Suspended", "False", "JobResumed", "Job resumed"));
        if (suspended)
            status.erase("startTime");
        else
            status["startTime"] = rfc3339_now();
    }
    set_count(status, "active", pods.active);
    status["ready"] = pods.ready;
    set_count(status, "succeeded", pods.succeeded);
    set_count(status, "failed", pods.failed);
    status["uncountedTerminatedPods"] = json::object();
    if (is_indexed(job.body) && !pods.done.empty())
        status["completedIndexes"] = ranges(pods.done);
    if (!end.is_null()) {
        status["conditions"].push_back(end);
        if (end["type"] == "Complete")
            status["completionTime"] = rfc3339_now();
    }
    if (status != job.body.at("status"))
        api_.control(jobs_, job.key, controller_manager, "status", [&](json &object) { object["status"] = status; });
}

// spec.ttlSecondsAfterFinished
void JobController::clean_up(const Stored &job) {
    const int64_t limit = integer_of(job.body.at("spec"), "ttlSecondsAfterFinished", -1);
    if (limit < 0 || is_deleting(job.body))
        return;
    const json *end = condition_of(job.body, is_true(job.body, "Complete") ? "Complete" : "Failed");
    const int64_t left = seconds_of(text_of(*end, "lastTransitionTime")) + limit - time(nullptr);
    if (left > 0)
        return queue_.add_after(job.key, seconds(left));
    api_.remove_by_controller(jobs_, job.key);
}

} // namespace kubesim
