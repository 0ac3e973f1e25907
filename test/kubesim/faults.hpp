// Faults a test asks for: which there are, how they are described, whom they hit. What they do to an answer is in
// answer.cpp, what they do to the lines of a watch in event_faults.cpp. Pure: also part of the unit tests.
#pragma once

#include "http_message.hpp"
#include "json.hpp"

#include <optional>
#include <random>
#include <regex>
#include <string>
#include <vector>

namespace kubesim {

struct Fault {
    enum class Action {
        // Of a request:
        respond,         // the given status and body, the request is not carried out
        respond_after,   // carried out, then the given status and body instead of the true answer
        reset_before,    // connection reset, not carried out
        reset_after,     // carried out, then connection reset
        hang,            // never answered, not carried out
        hang_after,      // carried out, never answered
        delay,           // carried out and answered, `delay_ms` later
        slow,            // the answer comes with `bytes_per_second`
        slow_head,       // its status line and headers do, the rest at once
        truncate,        // after `bytes` of the body it ends as `how` says
        future_revision, // the resource version that it reports is higher by `by`; of a watch: those of its bookmarks
        // Of an event of a watch:
        drop_event,      // is not sent
        duplicate_event, // is sent twice
        stale_event,     // is sent, then once more the one before it of the same object
        cut_event,       // `bytes` of its line are sent (-1: half), then the watch ends as `how` says
        error_event,     // instead of it an ERROR with `body`, then a clean end
        end_event,       // instead of it a clean end
    };
    enum class How {
        close, // the connection is closed
        reset, // with a TCP reset
        hang,  // it stays open and silent
    };
    std::string method;              // "" = any
    std::regex path;                 // searched in the request target, query included
    std::optional<bool> watch;       // only watches, or all but watches
    std::optional<std::regex> match; // of events: searched in the first `matched_bytes` of the line
    Action action = Action::respond;
    Response response;
    int delay_ms = 0;
    int64_t bytes_per_second = 0;
    int64_t bytes = -1;
    How how = How::close;
    uint64_t by = 1000;
    int64_t skip = 0;  // so many that fit are let pass first
    int64_t count = 1; // how many it hits; -1 = all
    double probability = 1;
    std::mt19937_64 random; // decides with less than 1; seeded by `seed`, so that a run can be repeated

    static constexpr size_t matched_bytes = 8192; // std::regex recurses for every byte

    bool hits_events() const { return action >= Action::drop_event; }
    // Hits only what the request has done.
    bool is_after() const {
        return action == Action::respond_after || action == Action::reset_after || action == Action::hang_after;
    }
};

// From JSON, members as above. Throws std::exception for anything else.
Fault parse_fault(const json &description);

class Faults {
public:
    void add(const json &description) { faults_.push_back(parse_fault(description)); }
    void clear() { faults_.clear(); }
    size_t count() const { return faults_.size(); }
    // How many requests and events were hit so far.
    uint64_t hits = 0;

    // The first fault that fits, its count used up by one.
    std::optional<Fault> take(const Request &request);
    // The same for an event (a line) of a watch that was begun by the request. Without `match`, bookmarks are let
    // alone by all but future_revision. `has_older`: an older event of its object is known, which stale_event needs.
    std::optional<Fault> take_event(const Request &request, std::string_view line, bool has_older);
    // Whether a stale_event waits for events of this watch.
    bool wants_older(const Request &request) const;

private:
    std::optional<Fault> use(std::vector<Fault>::iterator fault);

    std::vector<Fault> faults_;
};

} // namespace kubesim
