// Implementation of watcher_reflector.hpp. Runs in the mirror worker.
#include "bgworker/watch/watcher_reflector.hpp"

#include "kubernetes/object/resource_version.hpp"

#include <algorithm>
#include <utility>

namespace dbnet::bgworker {

using kubernetes::Outcome;

namespace {

// A list is to follow, not a watch: the kind may come back with none of its objects, and what waits for it goes on
// after a list.
bool is_not_served(const Outcome &outcome) {
    return outcome.kind == Outcome::kind_missing || outcome.kind == Outcome::not_found;
}

} // namespace

const char *to_text(Reflector::State state) noexcept {
    switch (state) {
    case Reflector::State::starting:
        return "starting";
    case Reflector::State::synced:
        return "synced";
    case Reflector::State::degraded:
        break;
    }
    return "degraded";
}

Reflector::Reflector(ReflectorLimits limits, std::function<double()> random, std::string known_version)
    : limits_(limits), random_(std::move(random)), version_(std::move(known_version)) {}

Reflector::Command Reflector::next(Milliseconds now) {
    // A quiet watch says nothing when it is accepted: not being refused for a while is the good news.
    if (is_watching() && state_ == State::degraded && now >= watch_started_ + limits_.accepted_after)
        recovered();
    if (running_ != Action::none || now < due_)
        return {};
    running_ = planned_;
    Command command;
    command.action = running_;
    if (running_ == Action::list) {
        listed_ = listed_before_; // of a page that came in part, nothing counts
        command.continue_token = continue_token_;
        if (list_kind_ == ListKind::not_older)
            command.resource_version = version_;
        else
            command.limit = unpaged_ ? 0 : limits_.page_size;
    } else {
        command.resource_version = version_;
        if (running_ == Action::watch)
            follows_list_ = std::exchange(has_new_list_, false);
    }
    return command;
}

Milliseconds Reflector::due() const noexcept {
    if (running_ == Action::none)
        return due_;
    return is_watching() && state_ == State::degraded ? watch_started_ + limits_.accepted_after : -1;
}

// Lists --------------------------------------------------------------------------------------------------------------

void Reflector::begin_list(ListKind kind) {
    list_kind_ = kind;
    unpaged_ = expiries_ > 1;
    restart_pages();
    at_once(Action::list);
}

void Reflector::restart_pages() {
    continue_token_.clear();
    list_version_.clear();
    listed_ = listed_before_ = 0;
    expected_ = -1;
    rewound_ = false;
}

Reflector::Page Reflector::on_page_begin(const std::string &resource_version) {
    if (continue_token_.empty()) {
        list_version_ = resource_version;
        auto order = kubernetes::compare_resource_versions(resource_version, version_);
        rewound_ = list_kind_ == ListKind::consistent && order && *order < 0;
    } else if (resource_version != list_version_) {
        // Pages of two snapshots do not make one picture.
        begin_list(ListKind::consistent);
        return Page::restart;
    }
    return Page::more;
}

Reflector::Page Reflector::on_page(const std::string &resource_version, const std::string &continue_token, size_t items,
                                   int64_t remaining) {
    running_ = Action::none;
    ++answers_;
    if (on_page_begin(resource_version) == Page::restart)
        return Page::restart;
    listed_ = listed_before_ += static_cast<int64_t>(items);
    expected_ = continue_token.empty() ? listed_ : remaining >= 0 ? listed_ + remaining : -1;
    continue_token_ = continue_token;
    if (!continue_token.empty()) {
        at_once(Action::list);
        return Page::more;
    }
    version_ = list_version_;
    failures_ = brief_watches_; // lists alone are no success when every watch fails
    last_listed_ = listed_;
    expiries_ = 0;
    must_probe_ = false;
    has_listed_ = has_new_list_ = true;
    recovered();
    at_once(Action::watch);
    return Page::last;
}

void Reflector::on_list_failure(const Outcome &outcome, Milliseconds now) {
    bool in_pages = !continue_token_.empty();
    if (outcome.kind == Outcome::gone && in_pages) {
        ++expiries_; // the token's snapshot is gone; the one offered instead would mix two
        begin_list(ListKind::consistent);
        return;
    }
    if (list_kind_ == ListKind::not_older &&
        (outcome.kind == Outcome::gone || outcome.kind == Outcome::future_version)) {
        begin_list(ListKind::consistent);
        return;
    }
    degrade(outcome);
    // The same page again: the token lives for minutes, and what came before it is kept. But a store that was restored
    // does not know it, and would take it for a version of its own later on; nor does any retry cure a bad one.
    if (in_pages && (outcome.kind == Outcome::future_version || outcome.kind == Outcome::invalid))
        begin_list(ListKind::consistent);
    after(Action::list, now, outcome);
}

void Reflector::resync() {
    begin_list(ListKind::consistent);
    running_ = Action::none;
    due_ = 0;
}

void Reflector::reconnect() {
    if (planned_ == Action::watch)
        planned_ = Action::probe; // whether it is the server that it was
    at_once(planned_);
}

void Reflector::hurry() noexcept {
    due_ = 0;
}

void Reflector::expect_kind() noexcept {
    if (!kind_missing_)
        return;
    failures_ = 0;
    due_ = 0;
}

// Watch --------------------------------------------------------------------------------------------------------------

void Reflector::on_watch_started(Milliseconds length, Milliseconds now) {
    watch_started_ = now;
    watch_length_ = length;
    had_events_ = false;
}

void Reflector::on_event(const std::string &resource_version) {
    had_events_ = true;
    if (!resource_version.empty())
        version_ = resource_version;
    recovered();
}

void Reflector::judge_watch(Milliseconds now) {
    Milliseconds lived = now - watch_started_;
    brief_watches_ = lived < limits_.short_watch && !had_events_ ? brief_watches_ + 1 : 0;
    if (lived >= limits_.healthy_after || had_events_)
        failures_ = 0;
}

void Reflector::on_watch_failure(const Outcome &outcome, Milliseconds now) {
    running_ = Action::none;
    judge_watch(now);
    if (outcome.kind == Outcome::gone) {
        // Normal after a quiet time and after a change of a custom resource's schema: no reason to wait. But a server
        // that answers 410 to every watch, also from where a list has just been, must not be asked in a loop.
        begin_list(last_listed_ > limits_.unpaged_objects ? ListKind::consistent : ListKind::not_older);
        if (follows_list_ && brief_watches_ > 1)
            after(Action::list, now, limits_.last_delay);
        return;
    }
    degrade(outcome);
    if (is_not_served(outcome)) {
        begin_list(ListKind::consistent);
        after(Action::list, now, outcome);
        return;
    }
    if (outcome.status == 0)
        must_probe_ = true;
    after(must_probe_ ? Action::probe : Action::watch, now, outcome);
}

void Reflector::on_watch_end(bool in_order, const std::string &message, Milliseconds now) {
    running_ = Action::none;
    Milliseconds lived = now - watch_started_;
    judge_watch(now);
    if (!in_order) {
        must_probe_ = true;
        degrade(message);
        after(Action::probe, now, limits_.last_delay);
        return;
    }
    // Sooner than asked for: the server went away in good order, and another one may answer next.
    if (lived + 5'000 < watch_length_)
        must_probe_ = true;
    Action next = must_probe_ ? Action::probe : Action::watch;
    if (lived < limits_.short_watch && !had_events_)
        after(next, now, limits_.last_delay);
    else
        at_once(next);
}

// Whether the store is still the one that was watched. One that was restored from a backup is older than what was seen,
// and a watch that went on there would stay silent for ever. The store itself is asked: the cache of a kind in which
// nothing happens is older than a list from the store, on a healthy server too.
void Reflector::on_probe(const Outcome &outcome, const std::string &newest_version, Milliseconds now) {
    running_ = Action::none;
    if (outcome.kind == Outcome::ok) {
        ++answers_;
        const auto order = kubernetes::compare_resource_versions(newest_version, version_);
        if (order && *order < 0) {
            begin_list(ListKind::consistent);
            return;
        }
        must_probe_ = false;
        at_once(Action::watch);
        return;
    }
    if (outcome.kind == Outcome::gone) {
        begin_list(ListKind::consistent);
        return;
    }
    degrade(outcome);
    if (is_not_served(outcome)) {
        begin_list(ListKind::consistent);
        after(Action::list, now, outcome);
        return;
    }
    after(Action::probe, now, outcome);
}

// Common -------------------------------------------------------------------------------------------------------------

void Reflector::at_once(Action action) noexcept {
    running_ = Action::none;
    planned_ = action;
    due_ = 0;
}

void Reflector::after(Action action, Milliseconds now, const Outcome &outcome) {
    const bool is_unreachable = outcome.status == 0 && outcome.reason == "ConnectionFailed";
    after(action, now, is_unreachable ? limits_.unreachable_delay : limits_.last_delay);
    due_ = std::max<Milliseconds>(due_, now + outcome.retry_after_ms);
}

void Reflector::after(Action action, Milliseconds now, Milliseconds most) {
    Milliseconds delay = most;
    if (failures_ < 16)
        delay = std::min(limits_.first_delay << failures_, most);
    delay += static_cast<Milliseconds>(static_cast<double>(delay) * random_());
    ++failures_;
    running_ = Action::none;
    planned_ = action;
    due_ = now + delay;
}

void Reflector::recovered() {
    state_ = State::synced;
    message_.clear();
    kind_missing_ = false;
}

void Reflector::degrade(const std::string &message) {
    state_ = State::degraded;
    message_ = message;
}

// A server that cannot be asked is not one that says no.
void Reflector::degrade(const Outcome &outcome) {
    if (outcome.kind != Outcome::kind_missing)
        return degrade(outcome.message);
    degrade("the server does not serve the kind: " + outcome.message +
            ". All rows stay, and what they ask for waits until the kind is served again");
    kind_missing_ = true;
}

} // namespace dbnet::bgworker

#include "pg/no_postgres.hpp"
