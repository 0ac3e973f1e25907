// The order of list, watch and probe requests that keeps one mirror's picture of its objects complete: a state machine
// without I/O or clock, so that every turn of it can be tested. Used by the watcher in the mirror worker. Pure C++.
//
//   list (pages) ──complete──▶ watch ──server's timeout──▶ watch …
//     ▲   ▲                      │ └──disconnect──▶ probe ──store is not older──▶ watch
//     │   └── rewound store ─────┼───────────────── probe: the store is older than what was seen
//     └──────── 410 ─────────────┘
#pragma once

#include "kubernetes/error.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace dbnet::bgworker {

using Milliseconds = int64_t; // of a monotonic clock

struct ReflectorLimits {
    int page_size = 500;
    // Above this many objects a list is always read in pages: one answer with all of them would not fit in memory.
    int64_t unpaged_objects = 5000;
    Milliseconds first_delay = 800; // doubled per failure, up to last_delay, then up to twice that by jitter
    Milliseconds last_delay = 30'000;
    Milliseconds unreachable_delay = 5'000; // instead of last_delay while no connection comes about: that costs nobody
    Milliseconds healthy_after = 120'000;   // a watch that lived this long resets the backoff
    Milliseconds short_watch = 1'000;       // a watch that ended sooner without an event counts as a failure
    Milliseconds accepted_after = 3'000;    // a watch that was not refused for so long is taken for accepted
};

class Reflector {
public:
    enum class Action { none, list, watch, probe };
    struct Command {
        Action action = Action::none;
        std::string resource_version; // list: "" = newest from the store
        std::string continue_token;   // list only
        int limit = 0;                // list only; 0: everything in one answer
    };

    enum class State { starting, synced, degraded };

    // `known_version`: where the last process stopped, "" when there was none. `random` draws from [0, 1).
    Reflector(ReflectorLimits limits, std::function<double()> random, std::string known_version);

    // What to start now; counts as started once it is returned. Action::none while something runs or time must pass.
    Command next(Milliseconds now);
    // When next() will have something without an answer coming in; -1: not by time.
    Milliseconds due() const noexcept;

    // Answers to the command that runs. A page arrives bit by bit: its version (on most servers before its items), its
    // items, its end. `restart`: the page is of another snapshot, and a new list is planned; drop what this one
    // brought.
    enum class Page { more, last, restart };
    Page on_page_begin(const std::string &resource_version);
    void on_item() noexcept { ++listed_; }
    Page on_page(const std::string &resource_version, const std::string &continue_token, size_t items,
                 int64_t remaining);
    void on_list_failure(const kubernetes::Outcome &outcome, Milliseconds now);
    void on_probe(const kubernetes::Outcome &outcome, const std::string &newest_version, Milliseconds now);

    void on_watch_started(Milliseconds length, Milliseconds now); // length that the request asks for
    void on_event(const std::string &resource_version);           // event or bookmark that was accepted
    // The stream broke its protocol, an ERROR event arrived, or it was refused; the stream is given up.
    void on_watch_failure(const kubernetes::Outcome &outcome, Milliseconds now);
    void on_watch_end(bool in_order, const std::string &message, Milliseconds now);

    // A full list from the store, as soon as possible; the running stream is to be given up by the caller.
    void resync();
    // Other credentials: goes on where it was; what runs is to be given up by the caller.
    void reconnect();
    // What waits after a failure is due now.
    void hurry() noexcept;
    // The same for a kind that the server did not serve and that it may serve any moment.
    void expect_kind() noexcept;

    State state() const noexcept { return state_; }
    const std::string &message() const noexcept { return message_; } // what is wrong; "" when synced
    // The server does not serve the kind: what was listed before says nothing of what is there now.
    bool is_kind_missing() const noexcept { return kind_missing_; }
    bool is_watching() const noexcept { return running_ == Action::watch; }
    bool has_listed() const noexcept { return has_listed_; }
    const std::string &resource_version() const noexcept { return version_; }
    // Of the running or last list.
    const std::string &list_version() const noexcept { return list_version_; } // "" until the server has told it
    int64_t listed() const noexcept { return listed_; }
    int64_t expected() const noexcept { return expected_; } // -1: the server did not say
    // The running or last list comes from a store that is older than what was seen before: versions do not order.
    bool is_rewound() const noexcept { return rewound_; }
    int failures() const noexcept { return failures_; }
    // Lists and probes that the server has answered with what was asked for; wraps.
    unsigned answers() const noexcept { return answers_; }

private:
    enum class ListKind { consistent, not_older };
    void begin_list(ListKind kind);
    void restart_pages();
    void after(Action action, Milliseconds now, const kubernetes::Outcome &outcome);
    void after(Action action, Milliseconds now, Milliseconds most); // at most so long, without jitter
    void at_once(Action action) noexcept;
    void judge_watch(Milliseconds now); // that has just ended
    void degrade(const std::string &message);
    void degrade(const kubernetes::Outcome &outcome);
    void recovered();

    ReflectorLimits limits_;
    std::function<double()> random_;
    State state_ = State::starting;
    std::string message_;
    bool kind_missing_ = false;

    Action planned_ = Action::list; // what comes next
    Action running_ = Action::none;
    Milliseconds due_ = 0; // not before
    int failures_ = 0;
    unsigned answers_ = 0;

    ListKind list_kind_ = ListKind::consistent;
    bool unpaged_ = false; // of a consistent list
    int expiries_ = 0;     // continue tokens that ran out, since the last complete list
    std::string continue_token_;
    std::string list_version_;
    int64_t listed_ = 0;
    int64_t listed_before_ = 0; // the page that is read
    int64_t expected_ = -1;
    int64_t last_listed_ = 0;
    bool has_listed_ = false;
    bool rewound_ = false;
    bool has_new_list_ = false; // which no watch has followed yet

    std::string version_; // newest seen: where a watch goes on
    Milliseconds watch_started_ = 0;
    Milliseconds watch_length_ = 0;
    bool had_events_ = false;
    bool follows_list_ = false; // the running or last watch is the first after a list
    int brief_watches_ = 0;     // in a row, ended at once without an event
    bool must_probe_ = false;   // the next watch follows a disconnect
};

const char *to_text(Reflector::State state) noexcept; // as mirror_state.state

} // namespace dbnet::bgworker
