// Implementation of own_history.hpp. Runs in the mirror worker.
#include "mirror/decision/own_history.hpp"

#include "mirror/decision/stamp.hpp"
#include "pg/guard.hpp"
#include "pg/spi.hpp"

#include <array>
#include <fstream>
#include <iterator>

extern "C" {
#include "access/timeline.h"
#include "access/xlog_internal.h"
}

namespace dbnet::mirror {

namespace {

// Empty for the first timeline, which has none.
std::string history_file(TimeLineID timeline) {
    std::array<char, MAXPGPATH> path{};
    TLHistoryFilePath(path.data(), timeline);
    std::ifstream file(path.data());
    return {std::istreambuf_iterator<char>(file), {}};
}

// The timelines before the current one end where the next began; of the current one the end is not known here.
History load_history() {
    History history{GetSystemIdentifier(), {}};
    const List *entries = pg::call([] { return readTimeLineHistory(GetWALInsertionTimeLine()); });
    const std::set<uint32_t> cut = cut_timelines(history_file(GetWALInsertionTimeLine()));
    for (int i = 0; i < list_length(entries); i++) {
        const auto *entry = static_cast<const TimeLineHistoryEntry *>(list_nth(entries, i));
        history.stretches.push_back(
            {entry->tli, entry->end + 1, cut.contains(entry->tli)}); // stamps hold the end of a commit record
    }
    return history;
}

// Ids grow: what is older than the oldest may have been on record. A stamp names a version, or where none is recorded
// the transaction.
const pg::Statement is_event_missing{R"sql(
    SELECT (SELECT min(v.id) FROM dbnet.entity_version AS v) <= $1
           AND NOT EXISTS (SELECT FROM dbnet.version_by_id($1)) AND NOT EXISTS (SELECT FROM dbnet.activity_by_id($1))
)sql"};

// A server that writes stays on its timeline.
const History &own_history() {
    static History history = load_history();
    history.stretches.front().end = GetFlushRecPtr(nullptr) + 1;
    return history;
}

} // namespace

bool is_own_stamp(std::string_view text) {
    const std::optional<Stamp> stamp = parse_stamp(text);
    return stamp && own_history().has(*stamp);
}

bool is_event_of_copy(std::string_view text) {
    const std::optional<Stamp> stamp = parse_stamp(text);
    return stamp && stamp->provenance != 0 &&
           pg::execute(is_event_missing, static_cast<int64_t>(stamp->provenance)).boolean(0, 0);
}

bool is_cut_after(std::string_view text) {
    const std::optional<Stamp> stamp = parse_stamp(text);
    return stamp && own_history().is_cut_after(*stamp);
}

} // namespace dbnet::mirror
