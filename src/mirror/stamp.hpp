// The stamp: the one annotation DBNet adds to what it applies. It tells which database, timeline and commit an object's
// values come from: `<system identifier>/<timeline>/<commit lsn>/<provenance id>`, e.g. `7312…/1/0/1A2B3C8/0`.
//
// Pure C++.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

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

// The annotation of a live object; nullopt when it has none or one that is not ours to read.
std::optional<Stamp> stamp_of(const nlohmann::json &object);

// "1A/2B3C" for a log position.
std::string format_lsn(uint64_t lsn);

} // namespace dbnet::mirror
