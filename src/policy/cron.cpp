// Parsing cron schedules and finding their next minute (see cron.hpp).
#include "policy/cron.hpp"

#include <array>
#include <charconv>
#include <chrono>
#include <span>

#include "pg/no_postgres.hpp"

namespace dbnet::policy {
namespace {

constexpr Minute hour = 60, day = 24 * hour;
constexpr int longest_wait_days = 8 * 366 + 31; // 29 February, over a century that has none

using Names = std::span<const std::string_view>;
constexpr std::string_view month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                            "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::string_view weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct Field {
    const char *name;
    int low, high;
    Names names; // of low, low + 1, …
};
const Field fields[] = {{"minute", 0, 59, {}},
                        {"hour", 0, 23, {}},
                        {"day of month", 1, 31, {}},
                        {"month", 1, 12, month_names},
                        {"day of week", 0, 7, weekday_names}}; // 7 is Sunday, too

constexpr std::pair<std::string_view, std::string_view> shorthands[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}};

bool equal_ignoring_case(std::string_view left, std::string_view right) {
    if (left.size() != right.size())
        return false;
    for (size_t i = 0; i < left.size(); i++)
        if ((left[i] | ' ') != (right[i] | ' '))
            return false;
    return true;
}

std::string_view take_until(std::string_view &text, std::string_view separators) {
    const size_t end = std::min(text.find_first_of(separators), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return taken;
}

std::optional<int> number_of(std::string_view text) {
    int value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failure != std::errc() || end != text.data() + text.size() || text.empty() || text[0] == '-')
        return std::nullopt;
    return value;
}

struct Problem {
    std::string text;
};

int value_of(const Field &field, std::string_view text) {
    for (size_t i = 0; i < field.names.size(); i++)
        if (equal_ignoring_case(field.names[i], text))
            return field.low + static_cast<int>(i);
    const std::optional<int> value = number_of(text);
    if (!value || *value < field.low || *value > field.high)
        throw Problem{std::string(field.name) + " \"" + std::string(text) + "\" is not " + std::to_string(field.low) +
                      " to " + std::to_string(field.high) +
                      (field.names.empty() ? "" : std::string(" or a name such as ") + std::string(field.names[1]))};
    return *value;
}

// One field: its values as bits.
std::uint64_t bits_of(const Field &field, std::string_view text, bool &is_any) {
    std::uint64_t bits = 0;
    is_any = text.starts_with('*');
    if (text.ends_with(','))
        throw Problem{std::string(field.name) + " \"" + std::string(text) + "\" ends with a comma"};
    while (!text.empty()) {
        std::string_view part = take_until(text, ",");
        const std::string whole(part);
        const bool has_step = part.find('/') != std::string_view::npos;
        const std::string_view range_text = take_until(part, "/");
        int step = 1;
        if (has_step) {
            const std::optional<int> given = number_of(part);
            if (!given || *given == 0 || *given > field.high)
                throw Problem{std::string("step of ") + field.name + " in \"" + whole + "\" is not 1 to " +
                              std::to_string(field.high)};
            step = *given;
        }
        int from = field.low, to = field.high;
        if (range_text != "*") {
            std::string_view rest = range_text;
            const bool is_range = rest.find('-') != std::string_view::npos;
            from = value_of(field, take_until(rest, "-"));
            to = is_range ? value_of(field, rest) : has_step ? field.high : from;
            if (from > to && field.high == 7 && to == 0)
                to = 7; // fri-sun
            if (from > to)
                throw Problem{std::string(field.name) + " \"" + whole + "\" goes backwards"};
        }
        for (int value = from; value <= to; value += step)
            bits |= std::uint64_t{1} << value;
    }
    return bits;
}

} // namespace

std::variant<Cron, std::string> Cron::parse(std::string_view text) {
    constexpr std::string_view blanks = " \t";
    std::array<std::string_view, 5> parts;
    size_t count = 0;
    std::string_view rest = text;
    for (const auto &[name, meaning] : shorthands)
        if (equal_ignoring_case(text, name))
            rest = meaning;
    while (true) {
        rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
        if (rest.empty())
            break;
        const std::string_view part = take_until(rest, blanks);
        if (count < parts.size())
            parts[count] = part;
        count++;
    }
    if (count != parts.size())
        return "it has " + std::to_string(count) + (count == 1 ? " field" : " fields") + " and not 5";
    try {
        Cron cron;
        bool any = false;
        cron.minutes_ = bits_of(fields[0], parts[0], any);
        cron.hours_ = static_cast<std::uint32_t>(bits_of(fields[1], parts[1], any));
        cron.days_ = static_cast<std::uint32_t>(bits_of(fields[2], parts[2], cron.any_day_));
        cron.months_ = static_cast<std::uint32_t>(bits_of(fields[3], parts[3], any));
        const std::uint64_t weekdays = bits_of(fields[4], parts[4], cron.any_weekday_);
        cron.weekdays_ = static_cast<std::uint32_t>((weekdays | weekdays >> 7) & 0x7f);
        return cron;
    } catch (Problem &problem) {
        return std::move(problem.text);
    }
}

bool Cron::matches_day(Minute minute) const {
    using namespace std::chrono;
    const sys_days date{days{minute >= 0 ? minute / day : (minute - day + 1) / day}};
    const year_month_day civil{date};
    const bool is_day = days_ >> static_cast<unsigned>(civil.day()) & 1;
    const bool is_weekday = weekdays_ >> weekday{date}.c_encoding() & 1;
    const bool is_either = any_day_ || any_weekday_ ? is_day && is_weekday : is_day || is_weekday;
    return is_either && (months_ >> static_cast<unsigned>(civil.month()) & 1) != 0;
}

bool Cron::matches(Minute minute) const {
    const Minute of_day = ((minute % day) + day) % day;
    return (minutes_ >> (of_day % hour) & 1) != 0 && (hours_ >> (of_day / hour) & 1) != 0 && matches_day(minute);
}

std::optional<Minute> Cron::next(Minute after) const {
    const Minute first = after + 1;
    Minute midnight = first - ((first % day) + day) % day;
    for (int count = 0; count <= longest_wait_days; count++, midnight += day)
        if (matches_day(midnight))
            for (Minute minute = std::max(first, midnight); minute < midnight + day; minute++)
                if (matches(minute))
                    return minute;
    return std::nullopt;
}

std::optional<Minute> Cron::next(Minute after, const std::function<int(Minute)> &offset) const {
    // The clock on the wall goes like UTC until its offset changes: each stretch by itself.
    for (int stretches = 0; stretches < 32; stretches++) {
        const int ahead = offset(after + 1);
        const std::optional<Minute> shown = next(after + ahead);
        if (!shown)
            return std::nullopt;
        const Minute found = *shown - ahead;
        // The first change of the offset up to there. Changes are days apart, so that none hides between two looks.
        Minute same = after + 1;
        while (same < found && offset(std::min(same + day, found)) == ahead)
            same = std::min(same + day, found);
        if (same >= found)
            return found;
        Minute other = std::min(same + day, found);
        while (other - same > 1) {
            const Minute middle = same + (other - same) / 2;
            (offset(middle) == ahead ? same : other) = middle;
        }
        if (found < other)
            return found;
        after = other - 1;
    }
    return std::nullopt;
}

} // namespace dbnet::policy
