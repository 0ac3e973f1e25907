// What the answer to an apply or delete means for its object: done, again later, again by force, wait for an event, or
// stop until somebody changes something. Pure C++; mirror worker.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "kubernetes/error.hpp"
#include "mirror/decision/intent.hpp"

namespace dbnet::bgworker {

struct Attempt {
    bool remove = false;
    bool update = false;                 // apply with a uid
    bool release = false;                // ownership alone, of the version that was looked at
    bool forced = false;                 // fields were to be taken from other managers
    bool enforce = false;                // the claims are enforced, so force is allowed
    int number = 1;                      // from 1, since the last success or new commit
    int schema_failures = 0;             // before this one, of these: answers that look like a schema error
    std::set<std::string> paths;         // that it sends
    std::set<std::string> adopted;       // of these may be taken from whoever owns them
    std::string restoring_manager;       // made the object again, from which anything may be taken; empty: none
    std::set<std::string> first_written; // paths with an attempt recorded before this one
};

struct Verdict {
    enum class Next {
        accepted, // the server did it (an apply's body and a delete's must still be looked at)
        gone,     // the object of the uid is not there (any more)
        force,    // send again at once, with force
        again,    // after delay_ms
        await,    // for the object's end, which an event tells
        stop      // until a new commit, or an event
    };
    Next next = Next::accepted;
    mirror::Phase phase = mirror::Phase::synced;
    std::string message; // the server's words
    std::string hint;    // what to do, where that is more than what every refusal asks for
    std::string reason;
    int64_t delay_ms = 0;
    bool server_wide = false; // nothing of this server will do better before delay_ms are over
    bool overload = false;    // fewer requests at a time would do better
    // Paths sent that the kind's schema has no more, or in another type: no row that sets them will do better.
    std::set<std::string> outdated;
};

// A retry's delay: 200 ms doubled per attempt up to 60 s, times 0.75 to 1.25 by `random` in [0, 1).
int64_t backoff_ms(int attempt, double random);

// What is said of the object: the server's words, and the hint if there is one.
std::string told(const Verdict &verdict);

Verdict judge(const kubernetes::Outcome &outcome, const Attempt &attempt, const mirror::Mapping &mapping,
              const std::vector<std::string> &respected_managers, double random);

} // namespace dbnet::bgworker
