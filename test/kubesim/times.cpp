// Times of objects: from text, and as tables show how long ago they were.
#include "times.hpp"

#include <algorithm>

namespace kubesim {

time_t seconds_of(const std::string &text) {
    tm parts{};
    return strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) ? timegm(&parts) : -1;
}

std::string human_duration(long seconds) {
    seconds = std::max(0L, seconds);
    auto unit = [](long value, const char *name) { return std::to_string(value) + name; };
    auto two = [&](long big, const char *big_name, long small, const char *small_name) {
        return small ? unit(big, big_name) + unit(small, small_name) : unit(big, big_name);
    };
    long minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (seconds < 120)
        return unit(seconds, "s");
    if (minutes < 10)
        return two(minutes, "m", seconds % 60, "s");
    if (minutes < 180)
        return unit(minutes, "m");
    if (hours < 8)
        return two(hours, "h", minutes % 60, "m");
    if (hours < 48)
        return unit(hours, "h");
    if (days < 8)
        return two(days, "d", hours % 24, "h");
    if (days < 730)
        return unit(days, "d");
    return two(days / 365, "y", days % 365, "d");
}

std::string age(const std::string &time) {
    const time_t since = seconds_of(time);
    return since < 0 ? "<unknown>" : human_duration(::time(nullptr) - since);
}

} // namespace kubesim
