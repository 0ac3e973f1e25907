// Operations out of the tables and into them (see operations.hpp). Mirror worker.
#include "bgworker/operation/operations.hpp"

#include "pg/spi.hpp"

#include <algorithm>

namespace dbnet::bgworker {

namespace {

constexpr int64_t after_failure_ms = 1000;

// What takes something away is counted apart from what does not.
mirror::ChangeClass class_of(const mirror::Operation &request) {
    return mirror::removes(request.kind) ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
}

} // namespace

void Operations::configure(std::shared_ptr<const mirror::Catalog> catalog) {
    catalog_ = std::move(catalog);
    for (auto &[id, running] : running_)
        running.closed_until_ms = 0; // what was paused may go on
}

void Operations::take(const Commit &commit) {
    for (const capture::Change &change : commit.changes) {
        const bool is_request = change.operation == 'O' || change.operation == 'C';
        const bool is_decision = std::ranges::any_of(running_, [&](const auto &known) {
            const mirror::Operation &request = known.second.request;
            return request.hold == mirror::HoldDecision::waiting && request.key.relation == change.relation &&
                   request.key.name == change.name && request.key.name_space == change.name_space;
        });
        if (is_request || is_decision)
            request_load();
    }
}

void Operations::touch(const mirror::Key &key) {
    for (auto &[id, running] : running_) {
        const bool is_pod = std::ranges::any_of(running.pods, [&](const Pod &pod) {
            return pod.step.pod.name == key.name && pod.step.pod.name_space == key.name_space;
        });
        if ((is_pod && !running.waits) || (running.request.key == key && running.stage == Stage::look))
            running.due_ms = 0;
    }
}

void Operations::turn() {
    const int64_t now_ms = monotonic_ms();
    if (now_ms >= load_ms_) {
        load_ms_ = INT64_MAX;
        try {
            load();
        } catch (const std::exception &failure) {
            note_error_(std::string("operations could not be read: ") + failure.what());
            load_ms_ = now_ms + after_failure_ms;
        }
    }
    for (auto &[id, running] : running_)
        advance(running, now_ms);
    if (now_ms >= save_ms_)
        save();
}

int Operations::timeout_ms() const {
    int64_t due = load_ms_;
    for (const auto &[id, running] : running_) {
        if (running.is_dirty)
            due = std::min(due, save_ms_);
        due = std::min(due, due_ms(running));
    }
    if (!log_.empty())
        due = std::min(due, save_ms_);
    return due == INT64_MAX ? -1 : static_cast<int>(std::clamp<int64_t>(due - monotonic_ms(), 0, 60'000));
}

void Operations::load() {
    const int64_t now_ms = monotonic_ms();
    std::vector<mirror::Key> given_up;
    pg::in_transaction([&] {
        std::vector<mirror::Operation> open = mirror::load_open_operations();
        std::set<int64_t> ids;
        for (const mirror::Operation &request : open)
            ids.insert(request.id);
        // Given up: what is still under way is answered into the log alone.
        std::erase_if(running_, [&](const auto &known) {
            if (ids.contains(known.first))
                return false;
            given_up.push_back(known.second.request.key);
            return true;
        });
        for (mirror::Operation &request : open)
            take_up(std::move(request), now_ms);
        hold_many(now_ms);
    });
    for (const mirror::Key &key : given_up)
        actuator_.touch(key); // its deletion has waited for this
}

void Operations::take_up(mirror::Operation &&request, int64_t now_ms) {
    const auto [found, is_new] = running_.try_emplace(request.id);
    Running &running = found->second;
    if (!is_new) {
        if (request.hold != mirror::HoldDecision::none) // else one may be about to be recorded
            running.request.hold = request.hold;
        running.request.decided_by = request.decided_by;
        running.request.is_row_deleted = request.is_row_deleted;
        if (!running.waits)
            running.due_ms = 0;
        return;
    }
    for (mirror::OperationStep &step : request.steps)
        running.pods.push_back({std::move(step), false, false, 0});
    request.steps.clear();
    if (request.is_running) {
        running.state = State::running;
        running.started_ms = now_ms - request.running_ms;
    }
    if (!running.pods.empty())
        running.stage = Stage::pods;
    if (request.kind == mirror::Operation::Kind::evict && running.pods.empty()) {
        Pod &pod = running.pods.emplace_back();
        pod.step.pod = {request.key.name_space, request.key.name, request.uid};
        running.stage = Stage::pods;
    }
    running.request = std::move(request);
}

// As for changes of rows: many objects in one transaction, or in a minute, wait for somebody's decision.
void Operations::hold_many(int64_t now_ms) {
    std::map<std::tuple<uint64_t, uint32_t, mirror::ChangeClass>, std::set<std::string>> keys;
    const auto is_fresh = [](const Running &running) {
        return running.state == State::waiting && running.request.hold == mirror::HoldDecision::none &&
               !running.request.eviction.is_dry_run && !running.is_dirty && running.message.empty();
    };
    for (const auto &[id, running] : running_)
        if (is_fresh(running))
            keys[{running.request.transaction, running.request.key.relation, class_of(running.request)}].insert(
                running.request.key.text());
    const mirror::HoldLimits limits = hold_limits();
    for (auto &[id, running] : running_) {
        if (!is_fresh(running))
            continue;
        const mirror::Operation &request = running.request;
        const mirror::ChangeClass change = class_of(request);
        const auto changed = static_cast<int64_t>(keys[{request.transaction, request.key.relation, change}].size());
        mirror::MassChangeGate &gate = gates_[request.key.relation];
        const bool needs_total = std::max(changed, gate.counted(change) + 1) >= limits.minimum;
        const int64_t total = needs_total ? mirror::count_objects(request.key.relation) : 0;
        std::string reason = mirror::mass_change_reason("transaction " + std::to_string(request.transaction), change,
                                                        changed, total, limits);
        if (reason.empty() && !gate.admit(change, request.key.text(), total, limits, now_ms))
            reason = std::string("one more object in a minute that ") + mirror::to_text(request.kind) +
                     " is too much for" + mirror::limits_text(limits);
        if (reason.empty())
            continue;
        holds_.push_back({request.key, mirror::to_text(request.kind), request.transaction, reason});
        running.request.hold = mirror::HoldDecision::waiting;
        tell(running, reason + ". See dbnet.held; decide with dbnet.approve or dbnet.reject.", "Held");
    }
}

void Operations::save() {
    const int64_t now_ms = monotonic_ms();
    std::vector<mirror::OperationWrite> writes;
    for (auto &[id, running] : running_) {
        if (!running.is_dirty)
            continue;
        mirror::OperationWrite &write = writes.emplace_back();
        write.id = id;
        write.key = running.request.key;
        write.state = running.state;
        write.message = running.message;
        write.reason = running.reason;
        write.attempts = running.attempts;
        if (running.waits && running.attempts > 0)
            write.next_attempt_ms = std::max<int64_t>(running.due_ms - now_ms, 0);
        write.settles_hold = running.is_over();
        std::vector<mirror::OperationStep> steps;
        for (Pod &pod : running.pods) {
            pod.step.next_attempt_ms = pod.step.state == StepState::waiting && !pod.under_way && pod.due_ms > now_ms
                                           ? pod.due_ms - now_ms
                                           : -1;
            steps.push_back(pod.step);
            if (pod.is_dirty)
                write.steps.push_back(pod.step);
        }
        if (write.state == State::running && write.message.empty())
            write.message = progress_text(steps);
    }
    if (writes.empty() && log_.empty())
        return;
    try {
        pg::in_transaction([&] {
            mirror::save({}, log_, holds_);
            mirror::save(writes);
        });
    } catch (const std::exception &failure) {
        note_error_(std::string("operations could not be written: ") + failure.what());
        save_ms_ = now_ms + after_failure_ms;
        return;
    }
    log_.clear();
    holds_.clear();
    for (const mirror::OperationWrite &write : writes) {
        Running &running = running_.at(write.id);
        running.is_dirty = false;
        for (Pod &pod : running.pods)
            pod.is_dirty = false;
        if (!running.is_over())
            continue;
        const mirror::Key key = running.request.key;
        running_.erase(write.id);
        actuator_.touch(key); // its deletion may wait for this
    }
}

std::string progress_text(std::span<const mirror::OperationStep> steps) {
    using State = mirror::OperationStep::State;
    const auto count = [&](State state) {
        return std::ranges::count_if(steps, [&](const mirror::OperationStep &step) { return step.state == state; });
    };
    const auto all = static_cast<std::ptrdiff_t>(steps.size()) - count(State::skipped);
    if (all == 0)
        return {};
    std::string text = std::to_string(count(State::gone)) + " of " + std::to_string(all) + " pods gone";
    for (const State state : {State::failed, State::waiting, State::terminating})
        for (const mirror::OperationStep &step : steps)
            if (step.state == state && !step.message.empty())
                return text + "; " + step.pod.name_space + "/" + step.pod.name + ": " + step.message;
    return text;
}

} // namespace dbnet::bgworker
