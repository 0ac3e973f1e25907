// Implementation of watcher_lookups.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher_lookups.hpp"

#include "kubernetes/object/resource_version.hpp"

#include <algorithm>

namespace dbnet::bgworker {

namespace {

constexpr Milliseconds look_first = 800, look_last = 30'000;
constexpr int worth_telling = 3; // failures in a row

Milliseconds look_delay(int attempts) {
    return attempts > 16 ? look_last : std::min(look_first << attempts, look_last);
}

} // namespace

Unlisted judge_unlisted(std::string_view recorded_version, const ListFacts &list) {
    const auto order = kubernetes::compare_resource_versions(recorded_version, list.version);
    const bool is_newer = order && *order > 0 && !list.is_rewound;
    if (is_newer && !list.is_new)
        return Unlisted::newer;
    return order && !is_newer && !list.has_selector ? Unlisted::gone : Unlisted::unknown;
}

void LookUps::want(Object object, Milliseconds due) {
    drop(object.key);
    objects_[object.key] = {std::move(object.uid), std::move(object.as_of), std::move(object.version), due, 0, false};
    waiting_.emplace(due, std::move(object.key));
}

void LookUps::drop(const mirror::Key &key) {
    const auto known = objects_.find(key);
    if (known == objects_.end())
        return;
    if (known->second.under_way)
        --under_way_;
    else
        waiting_.erase({known->second.due, key});
    objects_.erase(known);
}

std::optional<LookUps::Object> LookUps::next(Milliseconds now) {
    if (under_way_ >= at_once || now < not_before_ || waiting_.empty() || waiting_.begin()->first > now)
        return std::nullopt;
    const mirror::Key key = waiting_.begin()->second;
    waiting_.erase(waiting_.begin());
    State &state = objects_.at(key);
    state.under_way = true;
    ++under_way_;
    return Object{key, state.uid, state.as_of, state.version};
}

void LookUps::done(const mirror::Key &key) {
    failures_ = 0;
    message_.clear();
    drop(key);
}

void LookUps::refused(const mirror::Key &key, const kubernetes::Outcome &outcome, Milliseconds now) {
    const auto known = objects_.find(key);
    if (known == objects_.end() || !known->second.under_way)
        return;
    message_ = outcome.message;
    if (now >= not_before_) // else it was sent together with others that were refused
        not_before_ = now + std::max<Milliseconds>(look_delay(failures_++), outcome.retry_after_ms);
    State &state = known->second;
    state.due = now + look_delay(state.attempts++);
    state.under_way = false;
    --under_way_;
    waiting_.emplace(state.due, key);
}

void LookUps::hurry() noexcept {
    not_before_ = 0;
}

Milliseconds LookUps::due() const noexcept {
    if (under_way_ >= at_once || waiting_.empty())
        return -1;
    return std::max(waiting_.begin()->first, not_before_);
}

std::string LookUps::problem() const {
    if (failures_ < worth_telling)
        return {};
    return "what became of " + std::to_string(objects_.size()) + " objects could not be found out: " + message_;
}

} // namespace dbnet::bgworker

#include "pg/no_postgres.hpp"
