// Cron schedules: what is taken, what is refused and why, the next minute, clocks that are changed.
#include "policy/cron.hpp"

#include <gtest/gtest.h>

#include <chrono>

using namespace dbnet::policy;

namespace {

Minute at(int year, unsigned month, unsigned day, int hour, int minute) {
    using namespace std::chrono;
    const sys_days date{std::chrono::year{year} / static_cast<int>(month) / static_cast<int>(day)};
    return date.time_since_epoch().count() * Minute{1440} + hour * 60 + minute;
}

Cron cron(std::string_view text) {
    auto parsed = Cron::parse(text);
    if (const std::string *problem = std::get_if<std::string>(&parsed))
        throw std::runtime_error(std::string(text) + ": " + *problem);
    return std::get<Cron>(parsed);
}

std::string problem(std::string_view text) {
    auto parsed = Cron::parse(text);
    return std::holds_alternative<std::string>(parsed) ? std::get<std::string>(parsed) : "";
}

} // namespace

TEST(Cron, NextMinute) {
    const Minute now = at(2026, 11, 28, 16, 7); // a Saturday
    EXPECT_EQ(cron("* * * * *").next(now), at(2026, 11, 28, 16, 8));
    EXPECT_EQ(cron("*/5 * * * *").next(now), at(2026, 11, 28, 16, 10));
    EXPECT_EQ(cron("7 * * * *").next(now), at(2026, 11, 28, 17, 7)) << "never the same minute again";
    EXPECT_EQ(cron("0 3 * * *").next(now), at(2026, 11, 29, 3, 0));
    EXPECT_EQ(cron("30 9-17/4 * * mon-fri").next(now), at(2026, 11, 30, 9, 30));
    EXPECT_EQ(cron("0 0 29 feb *").next(now), at(2028, 2, 29, 0, 0));
    EXPECT_EQ(cron("0 0 1 1,jul *").next(now), at(2027, 1, 1, 0, 0));
    EXPECT_EQ(cron("59 23 31 12 *").next(now), at(2026, 12, 31, 23, 59));
    EXPECT_EQ(cron("0 0 30 2 *").next(now), std::nullopt);
    EXPECT_EQ(cron("0 0 29 2 *").next(at(2097, 1, 1, 0, 0)), at(2104, 2, 29, 0, 0)) << "2100 is no leap year";
    EXPECT_EQ(cron("10/20 * * * *").next(now), at(2026, 11, 28, 16, 10)) << "from 10 on";
    EXPECT_EQ(cron("0 12 * * *").next(at(1969, 12, 31, 11, 0)), at(1969, 12, 31, 12, 0));
}

TEST(Cron, EitherDayWillDoWhenBothAreRestricted) {
    const Minute now = at(2026, 11, 28, 16, 7);
    EXPECT_EQ(cron("0 0 1 * mon").next(now), at(2026, 11, 30, 0, 0)) << "a Monday comes before the first";
    EXPECT_EQ(cron("0 0 29 * mon").next(now), at(2026, 11, 29, 0, 0));
    EXPECT_EQ(cron("0 0 */2 * mon").next(now), at(2026, 12, 7, 0, 0)) << "written with *: both";
    EXPECT_EQ(cron("0 0 * * 7").next(now), at(2026, 11, 29, 0, 0)) << "7 is Sunday";
    EXPECT_EQ(cron("0 0 * * fri-sun").next(now), at(2026, 11, 29, 0, 0));
    EXPECT_EQ(cron("0 0 * * SUN").next(now), at(2026, 11, 29, 0, 0));
}

TEST(Cron, Shorthands) {
    const Minute now = at(2026, 11, 28, 16, 7);
    EXPECT_EQ(cron("@hourly").next(now), at(2026, 11, 28, 17, 0));
    EXPECT_EQ(cron("@daily").next(now), at(2026, 11, 29, 0, 0));
    EXPECT_EQ(cron("@weekly").next(now), at(2026, 11, 29, 0, 0));
    EXPECT_EQ(cron("@monthly").next(now), at(2026, 12, 1, 0, 0));
    EXPECT_EQ(cron("@Yearly").next(now), at(2027, 1, 1, 0, 0));
    EXPECT_EQ(problem("@reboot"), "it has 1 field and not 5");
}

TEST(Cron, SaysWhatIsWrong) {
    EXPECT_EQ(problem(""), "it has 0 fields and not 5");
    EXPECT_EQ(problem("* * * *"), "it has 4 fields and not 5");
    EXPECT_EQ(problem("* * * * * *"), "it has 6 fields and not 5");
    EXPECT_EQ(problem("60 * * * *"), "minute \"60\" is not 0 to 59");
    EXPECT_EQ(problem("* 24 * * *"), "hour \"24\" is not 0 to 23");
    EXPECT_EQ(problem("* * 0 * *"), "day of month \"0\" is not 1 to 31");
    EXPECT_EQ(problem("* * * 13 *"), "month \"13\" is not 1 to 12 or a name such as feb");
    EXPECT_EQ(problem("* * * * 8"), "day of week \"8\" is not 0 to 7 or a name such as mon");
    EXPECT_EQ(problem("5-1 * * * *"), "minute \"5-1\" goes backwards");
    EXPECT_EQ(problem("*/0 * * * *"), "step of minute in \"*/0\" is not 1 to 59");
    EXPECT_EQ(problem("*/99 * * * *"), "step of minute in \"*/99\" is not 1 to 59");
    EXPECT_EQ(problem("1, * * * *"), "minute \"1,\" ends with a comma");
    EXPECT_EQ(problem("1,,2 * * * *"), "minute \"\" is not 0 to 59");
    EXPECT_EQ(problem("-1 * * * *"), "minute \"\" is not 0 to 59");
    EXPECT_EQ(problem("99999999999 * * * *"), "minute \"99999999999\" is not 0 to 59");
    EXPECT_EQ(problem("a * * * *"), "minute \"a\" is not 0 to 59");
}

// Central Europe: one hour ahead, two in summer; changed at 01:00 UTC on 2026-03-29 and 2026-10-25.
TEST(Cron, ClocksThatAreChanged) {
    const auto berlin = [](Minute minute) {
        return minute >= at(2026, 3, 29, 1, 0) && minute < at(2026, 10, 25, 1, 0) ? 120 : 60;
    };
    EXPECT_EQ(cron("0 9 * * *").next(at(2026, 3, 28, 9, 0), berlin), at(2026, 3, 29, 7, 0));
    EXPECT_EQ(cron("30 2 * * *").next(at(2026, 3, 28, 12, 0), berlin), at(2026, 3, 30, 0, 30))
        << "the clock skips 02:30";
    EXPECT_EQ(cron("30 2 * * *").next(at(2026, 10, 24, 12, 0), berlin), at(2026, 10, 25, 0, 30));
    EXPECT_EQ(cron("30 2 * * *").next(at(2026, 10, 25, 0, 30), berlin), at(2026, 10, 25, 1, 30)) << "shown twice";
    EXPECT_EQ(cron("*/5 * * * *").next(at(2026, 10, 25, 0, 55), berlin), at(2026, 10, 25, 1, 0));
    EXPECT_EQ(cron("*/5 * * * *").next(at(2026, 3, 29, 0, 55), berlin), at(2026, 3, 29, 1, 0));
    EXPECT_EQ(cron("0 12 1 7 *").next(at(2026, 7, 1, 10, 0), berlin), at(2027, 7, 1, 11, 0))
        << "the offset of that day, after two changes";
}
