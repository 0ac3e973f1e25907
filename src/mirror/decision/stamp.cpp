// The stamp annotation: text to numbers and back. Pure C++; mirror worker and SQL functions.
#include "mirror/decision/stamp.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

// Takes one number up to `end_mark` (or the end of the text, for '\0') off the front.
template<typename Number> bool take(std::string_view &text, char end_mark, int base, Number &value) {
    const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc() || stop == text.data())
        return false;
    text.remove_prefix(stop - text.data());
    if (end_mark == '\0')
        return text.empty();
    if (text.empty() || text.front() != end_mark)
        return false;
    text.remove_prefix(1);
    return true;
}

} // namespace

std::string format_lsn(uint64_t lsn) {
    char text[24];
    snprintf(text, sizeof text, "%X/%X", static_cast<unsigned>(lsn >> 32), static_cast<unsigned>(lsn));
    return text;
}

std::string format(const Stamp &stamp) {
    return std::to_string(stamp.system_identifier) + "/" + std::to_string(stamp.timeline) + "/" +
           format_lsn(stamp.commit_lsn) + "/" + std::to_string(stamp.provenance);
}

std::optional<Stamp> parse_stamp(std::string_view text) {
    Stamp stamp;
    uint32_t high = 0;
    uint32_t low = 0;
    if (!take(text, '/', 10, stamp.system_identifier) || !take(text, '/', 10, stamp.timeline) ||
        !take(text, '/', 16, high) || !take(text, '/', 16, low) || !take(text, '\0', 10, stamp.provenance))
        return std::nullopt;
    stamp.commit_lsn = static_cast<uint64_t>(high) << 32 | low;
    return stamp;
}

bool History::has(const Stamp &stamp) const {
    return stamp.system_identifier == system_identifier &&
           std::any_of(stretches.begin(), stretches.end(), [&](const Stretch &stretch) {
               return stretch.timeline == stamp.timeline && stamp.commit_lsn < stretch.end;
           });
}

bool History::is_cut_after(const Stamp &stamp) const {
    return std::any_of(stretches.begin(), stretches.end(),
                       [&](const Stretch &stretch) { return stretch.is_cut && stretch.timeline >= stamp.timeline; });
}

// Lines are "<timeline>\t<position of its end>\t<reason>"; a promotion, and an archive that was read to its end, have
// the one reason that is no target.
std::set<uint32_t> cut_timelines(std::string_view history_file) {
    std::set<uint32_t> timelines;
    while (!history_file.empty()) {
        std::string_view line = history_file.substr(0, history_file.find('\n'));
        history_file.remove_prefix(std::min(line.size() + 1, history_file.size()));
        uint32_t timeline = 0;
        if (!take(line, '\t', 10, timeline))
            continue;
        const size_t reason = line.find('\t');
        if (reason != std::string_view::npos && line.substr(reason + 1) != "no recovery target specified")
            timelines.insert(timeline);
    }
    return timelines;
}

} // namespace dbnet::mirror
