// Schedules as crontab has them: five fields (minute, hour, day of month, month, day of week) with *, lists, ranges,
// steps and English names, or @hourly, @daily (@midnight), @weekly, @monthly, @yearly (@annually). If both days are
// restricted, either will do, as in every cron. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace dbnet::policy {

using Minute = std::int64_t; // since 1970-01-01 00:00

class Cron {
public:
    // The schedule, or what is wrong with the text.
    static std::variant<Cron, std::string> parse(std::string_view text);

    // The first minute after `after` that matches, both as a clock on the wall shows them; none: there is no such day
    // (30 February).
    std::optional<Minute> next(Minute after) const;
    bool matches(Minute minute) const;

    // The same in UTC, for a wall clock that is `offset(minute in UTC)` minutes ahead. A time that the clock skips is
    // skipped, and one that it shows twice comes twice.
    std::optional<Minute> next(Minute after, const std::function<int(Minute)> &offset) const;

private:
    bool matches_day(Minute minute) const;

    std::uint64_t minutes_ = 0; // a bit for each value
    std::uint32_t hours_ = 0, days_ = 0, months_ = 0, weekdays_ = 0;
    bool any_day_ = false, any_weekday_ = false; // written with *
};

} // namespace dbnet::policy
