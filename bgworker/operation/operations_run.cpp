// Requests of operations and their answers (see operations.hpp). Runs outside transactions; mirror worker.
#include "bgworker/operation/operations.hpp"

#include "kubernetes/json_access.hpp"
#include "kubernetes/restart.hpp"

#include <algorithm>
#include <utility>

namespace dbnet::bgworker {

using Kind = mirror::Operation::Kind;
using Next = OperationVerdict::Next;
using nlohmann::json;

namespace {

constexpr int64_t closed_ms = 1000;                          // between two looks whether something may be sent again
constexpr int64_t awaited_ms = 20;                           // … when that will be known in a moment
constexpr int64_t slowest_row_ms = 5000;                     // between two looks whether the node's row has had its way
constexpr int64_t first_poll_ms = 100;                       // between two looks whether pods are gone, doubled …
constexpr int64_t slowest_poll_ms = 1000;                    // … up to kubectl's pace
constexpr std::ptrdiff_t at_once = 16;                       // evictions of one operation under way
constexpr const char *would_be_evicted = "would be evicted"; // of a dry run

bool is_unschedulable(const json &node) {
    return kubernetes::bool_member(kubernetes::member(&node, "spec"), "unschedulable");
}

// A claimed field is the row's: of it there is one truth.
bool row_cordons(const mirror::Mirror &mirror) {
    const mirror::Column *column = mirror.mapping.by_path("spec.unschedulable");
    return column && column->role == mirror::Role::spec && column->subresource.empty();
}

kubernetes::Request restart_request(const mirror::Operation &request, const mirror::Mirror &mirror) {
    json patch = {{"metadata", {{"uid", request.uid}}}};
    kubernetes::set(patch, kubernetes::restarted_at_field(), request.restarted_at);
    return kubernetes::merge_patch_request(mirror.resource, request.key.name_space, request.key.name,
                                           mirror.field_manager, patch);
}

const kubernetes::Resource &daemon_sets() {
    static const kubernetes::Resource resource{"apps", "v1", "DaemonSet", "daemonsets", true};
    return resource;
}

// The first DaemonSet of which it is not known yet whether it is there; empty: all are known.
std::string unknown_owner(const std::vector<json> &pods, const std::map<std::string, std::string> &known) {
    for (const json &pod : pods)
        if (const std::string name = kubernetes::daemon_set_of(pod); !name.empty())
            if (std::string key = kubernetes::pod_of_node(pod).name_space + "/" + name; !known.contains(key))
                return key;
    return {};
}

std::string seconds_text(int64_t milliseconds) {
    return std::to_string(milliseconds / 1000) + " s";
}

} // namespace

// --- where an operation stands ---

void Operations::tell(Running &running, const std::string &message, const std::string &reason) {
    if (running.message == message && running.reason == reason)
        return;
    running.message = message;
    running.reason = reason;
    running.is_dirty = true;
}

void Operations::finish(Running &running, State state, const std::string &message, const std::string &reason) {
    running.state = state;
    running.message = message;
    running.reason = reason;
    running.attempts = 0;
    running.waits = false;
    running.is_dirty = true;
}

void Operations::next_stage(Running &running, Stage stage) {
    running.stage = stage;
    running.attempts = 0;
    running.waits = false;
    running.due_ms = 0;
    tell(running, {});
}

void Operations::wait(Running &running, const std::string &message, int64_t delay_ms) {
    running.waits = true;
    running.due_ms = monotonic_ms() + delay_ms;
    tell(running, message);
    running.is_dirty = true;
}

bool Operations::take_verdict(Running &running, const OperationVerdict &verdict) {
    switch (verdict.next) {
    case Next::accepted:
        return true;
    case Next::again:
        running.attempts++;
        wait(running, verdict.message, verdict.delay_ms);
        running.reason = verdict.reason;
        return false;
    case Next::gone:
    case Next::stop:
        finish(running, State::failed, verdict.message, verdict.reason);
        return false;
    }
    return false;
}

// Why nothing may be sent for it; empty: it may.
std::string Operations::closed_reason(const Running &running, const mirror::Mirror &mirror) const {
    if (!mirror.settings.manage)
        return mirror.qualified_name + " is in mode observe";
    if (std::string reason = actuator_.closed_reason(mirror); !reason.empty())
        return reason;
    for (const Pod &pod : running.pods)
        if (const mirror::Mirror *pods = mirror_of_pod(running, pod.step.pod.name_space);
            pods && pod.step.state == StepState::waiting && !pods->paused_reason.empty())
            return "paused: " + pods->paused_reason;
    return {};
}

const mirror::Mirror *Operations::mirror_of_pod(const Running &running, const std::string &name_space) const {
    const mirror::Mirror *own = catalog_->find(running.request.key.relation);
    for (const auto &[relation, mirror] : catalog_->mirrors)
        if (own && mirror.server == own->server && mirror.resource.group.empty() && mirror.resource.kind == "Pod" &&
            (mirror.name_space.empty() || mirror.name_space == name_space))
            return &mirror;
    return nullptr;
}

void Operations::advance(Running &running, int64_t now_ms) {
    if (running.is_over() || running.under_way)
        return;
    const mirror::Operation &request = running.request;
    const mirror::Mirror *mirror = catalog_->find(request.key.relation);
    if (!mirror)
        return finish(running, State::failed, "the table is no mirror any more");
    if (request.hold == mirror::HoldDecision::rejected)
        return finish(running, State::cancelled, "rejected by " + request.decided_by);
    if (request.hold == mirror::HoldDecision::waiting)
        return;
    if (now_ms < running.closed_until_ms)
        return;
    if (actuator_.is_awaited(*mirror)) {
        running.closed_until_ms = now_ms + awaited_ms;
        return;
    }
    if (const std::string reason = closed_reason(running, *mirror); !reason.empty()) {
        running.waits = false;
        running.closed_until_ms = now_ms + closed_ms;
        return tell(running, reason);
    }
    mirror::ActsAs acts_as = mirror::acts_as(*mirror->committers, request.role);
    if (acts_as.is_refused)
        return finish(running, State::failed, mirror::refusal_of_role(request.requested_by, mirror->server),
                      mirror::role_not_mapped);
    running.acts_as = std::move(acts_as.user);
    if (running.state == State::waiting) {
        running.state = State::running;
        running.started_ms = now_ms;
        running.is_dirty = true;
    }
    if (!running.waits)
        tell(running, {});
    if (now_ms >= running.deadline_ms() && running.pods_asked() == 0)
        return finish_pods(running, now_ms);
    if (running.stage == Stage::pods)
        send_evictions(running, *mirror, now_ms);
    else if (now_ms >= running.due_ms)
        send_stage(running, *mirror);
}

// When advance() has something to do; what is under way is answered by itself.
int64_t Operations::due_ms(const Running &running) {
    if (running.is_over() || running.under_way || running.request.hold == mirror::HoldDecision::waiting)
        return INT64_MAX;
    const std::ptrdiff_t asked = running.pods_asked();
    int64_t due = running.stage == Stage::pods ? INT64_MAX : running.due_ms;
    bool is_left = running.stage != Stage::pods;
    for (const Pod &pod : running.pods) {
        const bool waits = pod.step.state == StepState::waiting, ends = pod.step.state == StepState::terminating;
        is_left |= waits || ends;
        if (ends)
            due = std::min(due, running.due_ms);
        else if (waits && !pod.under_way && asked < at_once)
            due = std::min(due, pod.due_ms);
    }
    if (!is_left)
        return 0;
    if (asked == 0)
        due = std::min(due, running.deadline_ms());
    return std::max(due, running.closed_until_ms);
}

mirror::ActuationWrite Operations::line_for(const Running &running, const char *operation) const {
    mirror::ActuationWrite line;
    line.key = running.request.key;
    line.operation = operation;
    line.transaction = running.request.transaction;
    line.cause = running.request.event;
    line.role = running.request.role;
    if (running.acts_as)
        line.acts_as = running.acts_as->user;
    line.attempt = running.attempts + 1;
    return line;
}

namespace {

void take_answer(mirror::ActuationWrite &line, const OperationVerdict &verdict, const kubernetes::Response &response) {
    line.http_status = response.status;
    line.reason = verdict.reason;
    line.message = verdict.message;
    line.latency_ms = response.seconds * 1000;
    line.warnings = response.warnings;
}

} // namespace

// --- the operation as a whole ---

void Operations::send(const Running &running, const mirror::Mirror &mirror, kubernetes::Request &&request,
                      void (Operations::*answer)(Running &, const mirror::Mirror &, kubernetes::Response &&)) {
    const int64_t id = running.request.id;
    if (request.method != "GET")
        request.impersonation = running.acts_as;
    transport_.send(*mirror.connection, std::move(request), [this, id, answer](kubernetes::Response &&response) {
        const auto found = running_.find(id);
        if (found == running_.end()) // given up
            return;
        found->second.under_way = false;
        if (const mirror::Mirror *mirror = catalog_->find(found->second.request.key.relation))
            (this->*answer)(found->second, *mirror, std::move(response));
    });
}

void Operations::send_stage(Running &running, const mirror::Mirror &mirror) {
    const mirror::Operation &request = running.request;
    running.waits = false;
    running.under_way = true;
    switch (running.stage) {
    case Stage::look:
        return send(running, mirror, kubernetes::get_request(mirror.resource, request.key.name_space, request.key.name),
                    &Operations::answer_look);
    case Stage::patch:
        return send(running, mirror,
                    request.kind == Kind::restart
                        ? restart_request(request, mirror)
                        : kubernetes::cordon_request(mirror.resource, request.key.name, request.uid,
                                                     mirror.field_manager, request.kind != Kind::uncordon),
                    &Operations::answer_patch);
    case Stage::list:
        return send(running, mirror, kubernetes::pods_of_node_request(request.key.name, request.pod_selector),
                    &Operations::answer_list);
    case Stage::owners: {
        const std::string key = unknown_owner(running.listed, running.owners);
        const size_t slash = key.find('/');
        return send(running, mirror,
                    kubernetes::get_request(daemon_sets(), key.substr(0, slash), key.substr(slash + 1)),
                    &Operations::answer_owner);
    }
    case Stage::pods:
        return send(running, mirror,
                    request.kind == Kind::evict
                        ? kubernetes::get_request(kubernetes::pod_resource(), request.key.name_space, request.key.name)
                        : kubernetes::pods_of_node_request(request.key.name, {}),
                    &Operations::answer_poll);
    }
}

void Operations::answer_look(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response) {
    if (!take_verdict(running, judge_operation(kubernetes::classify(response, mirror.resource.plural),
                                               running.attempts + 1, random())))
        return;
    const mirror::Operation &request = running.request;
    const json object = kubernetes::parse_json(response.body);
    const json *metadata = kubernetes::member(&object, "metadata");
    if (kubernetes::text_member(metadata, "uid") != request.uid)
        return finish(running, State::failed, "the object was replaced by another one of its name");
    const bool unschedulable = is_unschedulable(object);
    switch (request.kind) {
    case Kind::cordon:
    case Kind::uncordon:
        if (unschedulable == (request.kind == Kind::cordon))
            return finish(running, State::done, {});
        return next_stage(running, Stage::patch);
    case Kind::restart: {
        if (kubernetes::bool_member(kubernetes::member(&object, "spec"), "paused"))
            return finish(running, State::failed,
                          "can't restart paused deployment (run rollout resume first): set spec.paused to false");
        const json *annotation = kubernetes::get(object, kubernetes::restarted_at_field());
        if (annotation && *annotation == request.restarted_at)
            return finish(running, State::done, {});
        return next_stage(running, Stage::patch);
    }
    case Kind::drain:
        if (unschedulable || request.eviction.is_dry_run)
            return next_stage(running, Stage::list);
        if (!row_cordons(mirror) || request.is_row_deleted)
            return next_stage(running, Stage::patch);
        request_load(); // the row may be deleted by now
        return wait(running, "waits until the node is cordoned, as its row says; see dbnet.object_status",
                    std::min(backoff_ms(++running.attempts, random()), slowest_row_ms));
    case Kind::evict:
        return;
    }
}

void Operations::answer_patch(Running &running, const mirror::Mirror &mirror, kubernetes::Response &&response) {
    const mirror::Operation &request = running.request;
    OperationVerdict verdict =
        judge_operation(kubernetes::classify(response, mirror.resource.plural), running.attempts + 1, random());
    mirror::ActuationWrite line =
        line_for(running, request.kind == Kind::drain ? "cordon" : mirror::to_text(request.kind));
    line.paths = {request.kind == Kind::restart ? kubernetes::restarted_at_field().text() : "spec.unschedulable"};
    take_answer(line, verdict, response);
    log_.push_back(std::move(line));
    running.is_dirty = true;
    if (!take_verdict(running, verdict))
        return;
    if (request.kind == Kind::drain)
        return next_stage(running, Stage::list);
    finish(running, State::done, {});
}

// --- the pods of a node ---

namespace {

std::vector<json> items_of(const std::string &body) {
    const json list = kubernetes::parse_json(body);
    const json *items = kubernetes::array_member(&list, "items");
    return items ? items->get<std::vector<json>>() : std::vector<json>();
}

} // namespace

void Operations::answer_list(Running &running, const mirror::Mirror &, kubernetes::Response &&response) {
    if (!take_verdict(running, judge_operation(kubernetes::classify(response, "pods"), running.attempts + 1, random())))
        return;
    running.listed = items_of(response.body);
    if (unknown_owner(running.listed, running.owners).empty())
        return decide_pods(running);
    next_stage(running, Stage::owners);
}

void Operations::answer_owner(Running &running, const mirror::Mirror &, kubernetes::Response &&response) {
    const OperationVerdict verdict =
        judge_operation(kubernetes::classify(response, daemon_sets().plural), running.attempts + 1, random());
    const bool is_missing = verdict.next == Next::gone;
    if (!is_missing && !take_verdict(running, verdict))
        return;
    running.owners[unknown_owner(running.listed, running.owners)] = is_missing ? verdict.message : "";
    if (unknown_owner(running.listed, running.owners).empty())
        return decide_pods(running);
    next_stage(running, Stage::owners);
}

// As kubectl: one pod that forbids it, and none is touched.
void Operations::decide_pods(Running &running) {
    std::vector<kubernetes::Forbidden> forbidden;
    for (const json &pod : running.listed) {
        Pod &known = running.pods.emplace_back();
        known.step.pod = kubernetes::pod_of_node(pod);
        const std::string owner = kubernetes::daemon_set_of(pod);
        const kubernetes::PodVerdict verdict = kubernetes::judge_pod(
            pod, running.request.drain, owner.empty() ? "" : running.owners[known.step.pod.name_space + "/" + owner]);
        known.step.message = verdict.message;
        if (verdict.kind == kubernetes::PodVerdict::stay)
            known.step.state = StepState::skipped;
        if (verdict.kind == kubernetes::PodVerdict::forbid) {
            known.step.state = StepState::failed;
            forbidden.push_back({known.step.pod.name_space + "/" + known.step.pod.name, verdict.message});
        }
    }
    running.listed.clear();
    if (!forbidden.empty())
        return finish(running, State::failed, kubernetes::refusal(forbidden));
    next_stage(running, Stage::pods);
    running.is_dirty = true;
}

void Operations::send_evictions(Running &running, const mirror::Mirror &mirror, int64_t now_ms) {
    const mirror::Operation &request = running.request;
    const auto is_left = [](const Pod &pod) {
        return pod.step.state == StepState::waiting || pod.step.state == StepState::terminating;
    };
    auto free = at_once - running.pods_asked();
    for (Pod &pod : running.pods) {
        if (free <= 0)
            break;
        if (pod.step.state != StepState::waiting || pod.under_way || pod.due_ms > now_ms)
            continue;
        free--;
        pod.under_way = true;
        pod.step.attempts++;
        mirror::ActuationWrite line = line_for(running, request.disable_eviction ? "delete_pod" : "evict");
        const mirror::Mirror *pods = mirror_of_pod(running, pod.step.pod.name_space);
        line.key = {pods ? pods->relation : request.key.relation, pod.step.pod.name_space, pod.step.pod.name};
        line.attempt = pod.step.attempts;
        kubernetes::Request sent = request.disable_eviction
                                       ? kubernetes::remove_pod_request(pod.step.pod, request.eviction)
                                       : kubernetes::eviction_request(pod.step.pod, request.eviction);
        sent.impersonation = running.acts_as;
        transport_.send(*mirror.connection, std::move(sent),
                        [this, id = request.id, is_dry_run = request.eviction.is_dry_run, target = pod.step.pod,
                         line = std::move(line)](kubernetes::Response &&response) mutable {
                            answer_eviction(id, is_dry_run, target, std::move(line), response);
                        });
    }
    if (std::ranges::none_of(running.pods, is_left))
        return finish_pods(running, now_ms);
    const bool is_ending =
        std::ranges::any_of(running.pods, [](const Pod &pod) { return pod.step.state == StepState::terminating; });
    if (is_ending && now_ms >= running.due_ms)
        return send_stage(running, mirror);
}

void Operations::answer_eviction(int64_t id, bool is_dry_run, const kubernetes::PodOfNode &target,
                                 mirror::ActuationWrite &&line, const kubernetes::Response &response) {
    const OperationVerdict verdict = judge_operation(kubernetes::classify(response, "pods"), line.attempt, random());
    if (!is_dry_run) {
        take_answer(line, verdict, response);
        log_.push_back(std::move(line));
    }
    const auto found = running_.find(id);
    if (found == running_.end()) // given up
        return;
    Running &running = found->second;
    const auto pod = std::ranges::find_if(running.pods, [&](const Pod &one) { return one.step.pod.uid == target.uid; });
    if (pod == running.pods.end())
        return;
    const int64_t now_ms = monotonic_ms();
    pod->under_way = false;
    pod->is_dirty = running.is_dirty = true;
    pod->step.reason = verdict.reason;
    const bool has_decided = response.status != 0 && response.status < 500; // about the pod
    if (is_dry_run && verdict.next != Next::gone && has_decided) {
        const bool would_go = verdict.next == Next::accepted;
        pod->step.state = would_go ? StepState::skipped : StepState::failed;
        pod->step.message = would_go ? would_be_evicted : verdict.message;
        return;
    }
    switch (verdict.next) {
    case Next::accepted:
        pod->step.state = StepState::terminating;
        pod->step.message.clear();
        running.poll_delay_ms = 0;
        running.due_ms = now_ms + first_poll_ms;
        break;
    case Next::gone:
        pod->step.state = StepState::gone;
        pod->step.message.clear();
        pod->step.reason.clear();
        running.due_ms = now_ms;
        break;
    case Next::again:
        pod->step.message = verdict.message;
        pod->due_ms = now_ms + verdict.delay_ms;
        break;
    case Next::stop:
        pod->step.message = verdict.message;
        pod->step.state = StepState::failed;
        running.due_ms = now_ms;
        break;
    }
}

// Which of the pods are still there.
void Operations::answer_poll(Running &running, const mirror::Mirror &, kubernetes::Response &&response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, "pods");
    const bool is_gone =
        running.request.kind == Kind::evict &&
        (outcome.kind == kubernetes::Outcome::not_found || outcome.kind == kubernetes::Outcome::namespace_missing);
    if (!is_gone && !take_verdict(running, judge_operation(outcome, running.attempts + 1, random())))
        return;
    running.attempts = 0;
    std::set<std::string> uids;
    if (running.request.kind == Kind::drain)
        for (const json &pod : items_of(response.body))
            uids.insert(kubernetes::pod_of_node(pod).uid);
    else if (!is_gone)
        uids.insert(kubernetes::pod_of_node(kubernetes::parse_json(response.body)).uid);
    for (Pod &pod : running.pods) {
        const bool is_left = pod.step.state == StepState::terminating || pod.step.state == StepState::waiting;
        if (!is_left || pod.under_way || uids.contains(pod.step.pod.uid))
            continue;
        pod.step.state = StepState::gone;
        pod.step.message.clear();
        pod.step.reason.clear();
        pod.is_dirty = running.is_dirty = true;
    }
    running.poll_delay_ms = std::clamp(2 * running.poll_delay_ms, first_poll_ms, slowest_poll_ms);
    running.due_ms = monotonic_ms() + running.poll_delay_ms;
}

namespace {

// What a dry run has found out, and of the first pod that would stay why.
std::string dry_run_text(const std::vector<mirror::OperationStep> &steps) {
    const auto would_go = std::ranges::count(steps, would_be_evicted, &mirror::OperationStep::message);
    std::string text = std::to_string(would_go) + (would_go == 1 ? " pod" : " pods") + " would be evicted";
    const auto failed = std::ranges::find(steps, mirror::OperationStep::State::failed, &mirror::OperationStep::state);
    if (failed != steps.end())
        text += "; " + failed->pod.name_space + "/" + failed->pod.name + ": " + failed->message;
    return text;
}

} // namespace

// All that could be done is done, or the time is over.
void Operations::finish_pods(Running &running, int64_t now_ms) {
    const mirror::Operation &request = running.request;
    const bool is_late = now_ms >= running.deadline_ms();
    std::vector<mirror::OperationStep> steps;
    bool has_failed = running.stage != Stage::pods;
    for (Pod &pod : running.pods) {
        if (pod.step.state == StepState::waiting || pod.step.state == StepState::terminating) {
            if (pod.step.state == StepState::terminating && pod.step.message.empty())
                pod.step.message = "the pod is being deleted and has not ended";
            pod.step.state = StepState::failed;
            pod.is_dirty = true;
        }
        has_failed |= pod.step.state == StepState::failed;
        steps.push_back(pod.step);
    }
    std::string text = request.eviction.is_dry_run ? dry_run_text(steps) : progress_text(steps);
    if (!has_failed)
        return finish(running, State::done, text);
    const std::string last = text.empty() ? running.message : text;
    if (is_late)
        text = "global timeout reached: " + seconds_text(request.timeout_ms) + (last.empty() ? "" : "; " + last);
    finish(running, State::failed, text);
}

} // namespace dbnet::bgworker
