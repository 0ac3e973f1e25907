// Times of telemetry: from nanoseconds since 1970, as sent, to what tables hold, and the time by which a row finds its
// partition. Pure C++.
#pragma once

#include <cstdint>

namespace dbnet::telemetry {

// Microseconds since 2000-01-01 UTC: PostgreSQL's timestamptz.
using Instant = int64_t;

inline constexpr int64_t second_us = 1'000'000, hour_us = 3600 * second_us, day_us = 24 * hour_us;

// What bigint cannot hold stands as its greatest value.
constexpr int64_t pinned(uint64_t value) noexcept {
    return value > INT64_MAX ? INT64_MAX : static_cast<int64_t>(value);
}

constexpr int32_t pinned_integer(uint32_t value) noexcept {
    return value > INT32_MAX ? INT32_MAX : static_cast<int32_t>(value);
}

constexpr Instant instant_of(uint64_t unix_nano) noexcept {
    constexpr int64_t from_1970_to_2000 = 946'684'800 * second_us;
    return pinned(unix_nano) / 1000 - from_1970_to_2000;
}

constexpr Instant start_of_second(Instant instant) noexcept {
    const Instant rest = instant % second_us;
    return instant - (rest < 0 ? rest + second_us : rest);
}

// Where rows go that arrive now. An event without a time is one of now. An event's own time counts when it is one that
// is kept and has come. Any other (clocks that were never set, or are ahead) is placed where it is found by who looks
// for it, is kept for nearly as long as others, and is out of the way of who watches the present: one day back, or half
// the retention.
class Placement {
public:
    constexpr Placement(Instant now, int64_t retention_us) noexcept
        : now_(now), earliest_(now - retention_us), latest_(now + tolerance_us),
          elsewhere_(now - (retention_us / 2 < day_us ? retention_us / 2 : day_us)) {}

    constexpr Instant place(uint64_t unix_nano) const noexcept {
        if (unix_nano == 0)
            return now_;
        const Instant instant = instant_of(unix_nano);
        return instant >= earliest_ && instant <= latest_ ? instant : elsewhere_;
    }

private:
    static constexpr int64_t tolerance_us = 300 * second_us; // by which a sender's clock may be ahead

    Instant now_, earliest_, latest_, elsewhere_;
};

} // namespace dbnet::telemetry
