// The stamp: the one annotation DBNet adds to what it applies. It tells which database, timeline and commit an object's
// values come from: `<system identifier>/<timeline>/<commit lsn>/<event id>`, e.g.
// `7312…/1/0/1A2B3C8/870912345678901248`: the last is the version of the row that was applied
// (dbnet.entity_version.id), of a table that is not tracked the transaction, 0 where neither is on record.
//
// Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace dbnet::mirror {

inline constexpr char stamp_annotation[] = "dbnet.io/stamp";

struct Stamp {
    uint64_t system_identifier = 0;
    uint32_t timeline = 0;
    uint64_t commit_lsn = 0;
    uint64_t provenance = 0;

    bool operator==(const Stamp &) const = default;
};

std::string format(const Stamp &stamp);
std::optional<Stamp> parse_stamp(std::string_view text);

// What a database has come through: of each timeline of its system the part that it has seen.
struct History {
    struct Stretch {
        uint32_t timeline = 0;
        uint64_t end = 0;    // the first position that is not of this history
        bool is_cut = false; // it ends where a recovery was told to stop: what came after was left out
    };
    uint64_t system_identifier = 0;
    std::vector<Stretch> stretches; // the newest first

    // False: written by a copy of the database, which may know of commits that this one does not.
    bool has(const Stamp &stamp) const;
    // Something was left out after that position on purpose: who wrote it may have written more than this one knows.
    bool is_cut_after(const Stamp &stamp) const;
};

// Timelines that a recovery to a point in time has ended, of those that a history file of PostgreSQL names.
std::set<uint32_t> cut_timelines(std::string_view history_file);

// "1A/2B3C" for a log position.
std::string format_lsn(uint64_t lsn);

} // namespace dbnet::mirror
