// Implementation of own_history.hpp. Runs in the mirror worker.
#include "mirror/own_history.hpp"

#include "mirror/stamp.hpp"
#include "pg/guard.hpp"

extern "C" {
#include "access/timeline.h"
}

namespace dbnet::mirror {

namespace {

// The timelines before the current one end where the next began; of the current one the end is not known here.
History load_history() {
    History history{GetSystemIdentifier(), {}};
    const List *entries = pg::call([] { return readTimeLineHistory(GetWALInsertionTimeLine()); });
    for (int i = 0; i < list_length(entries); i++) {
        const auto *entry = static_cast<const TimeLineHistoryEntry *>(list_nth(entries, i));
        history.stretches.push_back({entry->tli, entry->end + 1}); // stamps hold the end of a commit record
    }
    return history;
}

} // namespace

bool is_own_stamp(std::string_view text) {
    const std::optional<Stamp> stamp = parse_stamp(text);
    if (!stamp)
        return false;
    // A server that writes stays on its timeline.
    static History history = load_history();
    history.stretches.front().end = GetFlushRecPtr(nullptr) + 1;
    return history.has(*stamp);
}

} // namespace dbnet::mirror
