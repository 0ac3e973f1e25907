// Points in time: text to microseconds and back. Pure C++.
#include "kubernetes/instant.hpp"

#include <cstdio>

#include "pg/no_postgres.hpp"

namespace dbnet::kubernetes {

namespace {

constexpr int64_t second = 1'000'000;

// Days since 1970-01-01 in the proleptic Gregorian calendar, and back (Hinnant's algorithms, eras of 400 years).
int64_t days_from_civil(int64_t year, int month, int day) {
    year -= month <= 2;
    const int64_t era = (year >= 0 ? year : year - 399) / 400;
    const int64_t year_of_era = year - era * 400;
    const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct Civil {
    int64_t year;
    int month;
    int day;
};

Civil civil_from_days(int64_t days) {
    days += 719468;
    const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    const int64_t day_of_era = days - era * 146097;
    const int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    const int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    const int64_t shifted_month = (5 * day_of_year + 2) / 153;
    const int month = static_cast<int>(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    return {year_of_era + era * 400 + (month <= 2), month,
            static_cast<int>(day_of_year - (153 * shifted_month + 2) / 5 + 1)};
}

int days_in_month(int year, int month) {
    if (month == 2)
        return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

class Reader {
public:
    explicit Reader(std::string_view text) : text_(text) {}

    bool done() const { return text_.empty(); }
    bool take(char wanted) {
        if (text_.empty() || text_.front() != wanted)
            return false;
        text_.remove_prefix(1);
        return true;
    }
    // Exactly `count` digits.
    bool digits(int count, int &value) {
        value = 0;
        for (; count > 0; count--) {
            if (text_.empty() || text_.front() < '0' || text_.front() > '9')
                return false;
            value = value * 10 + (text_.front() - '0');
            text_.remove_prefix(1);
        }
        return true;
    }
    // One or more digits after the point, as microseconds.
    bool fraction(int64_t &microseconds) {
        int64_t weight = second / 10;
        bool any = false;
        microseconds = 0;
        while (!text_.empty() && text_.front() >= '0' && text_.front() <= '9') {
            microseconds += (text_.front() - '0') * weight;
            weight /= 10;
            text_.remove_prefix(1);
            any = true;
        }
        return any;
    }

private:
    std::string_view text_;
};

} // namespace

std::optional<int64_t> parse_instant(std::string_view text) {
    Reader reader(text);
    int year, month, day;
    if (!reader.digits(4, year) || !reader.take('-') || !reader.digits(2, month) || !reader.take('-') ||
        !reader.digits(2, day) || year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
        return std::nullopt;
    const int64_t midnight = days_from_civil(year, month, day) * 86400 * second;
    if (reader.done())
        return midnight;

    int hour, minute, seconds;
    int64_t microseconds = 0;
    if ((!reader.take('T') && !reader.take(' ')) || !reader.digits(2, hour) || !reader.take(':') ||
        !reader.digits(2, minute) || !reader.take(':') || !reader.digits(2, seconds) || hour > 24 || minute > 59 ||
        seconds > 60 || (reader.take('.') && !reader.fraction(microseconds)))
        return std::nullopt;

    int64_t offset = 0;
    if (!reader.done() && !reader.take('Z')) {
        const bool east = reader.take('+');
        int offset_hours, offset_minutes = 0;
        if ((!east && !reader.take('-')) || !reader.digits(2, offset_hours) ||
            (reader.take(':') && !reader.digits(2, offset_minutes)) || offset_hours > 23 || offset_minutes > 59)
            return std::nullopt;
        offset = (offset_hours * 3600 + offset_minutes * 60) * (east ? second : -second);
    }
    if (!reader.done())
        return std::nullopt;
    const int64_t instant = midnight + (hour * 3600 + minute * 60 + seconds) * second + microseconds - offset;
    // In UTC it may be of another year, which must have four digits, too.
    if (instant < days_from_civil(1, 1, 1) * 86400 * second || instant >= days_from_civil(10000, 1, 1) * 86400 * second)
        return std::nullopt;
    return instant;
}

std::string format_instant(int64_t microseconds, bool with_fraction) {
    int64_t seconds = microseconds / second;
    int64_t fraction = microseconds % second;
    if (fraction < 0) {
        fraction += second;
        seconds--;
    }
    int64_t days = seconds / 86400;
    int64_t in_day = seconds % 86400;
    if (in_day < 0) {
        in_day += 86400;
        days--;
    }
    const Civil civil = civil_from_days(days);
    char text[48];
    int length = snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", static_cast<int>(civil.year), civil.month,
                          civil.day, static_cast<int>(in_day / 3600), static_cast<int>(in_day / 60 % 60),
                          static_cast<int>(in_day % 60));
    if (with_fraction)
        length += snprintf(text + length, sizeof text - length, ".%06d", static_cast<int>(fraction));
    return std::string(text, length) + "Z";
}

} // namespace dbnet::kubernetes
