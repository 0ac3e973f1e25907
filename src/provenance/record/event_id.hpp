// Ids of events (see sql/08_provenance.sql): microseconds since 2000-01-01 UTC at the commit, times 1024, plus the
// number within the transaction, counted from 0. A transaction with more events takes the following microseconds, too.
// Pure C++; every process.
#pragma once

#include <cstdint>

namespace dbnet::provenance {

using EventId = std::int64_t; // 0: none

inline constexpr int events_per_tick_bits = 10;

// The ticks (microseconds) that `count` events take, at least one.
constexpr std::uint64_t ticks_for(std::uint32_t count) noexcept {
    return count == 0 ? 1
                      : (static_cast<std::uint64_t>(count) + (1u << events_per_tick_bits) - 1) >> events_per_tick_bits;
}

constexpr EventId first_event(std::uint64_t tick) noexcept {
    return static_cast<EventId>(tick << events_per_tick_bits);
}

constexpr std::uint64_t tick_of(EventId event) noexcept {
    return static_cast<std::uint64_t>(event) >> events_per_tick_bits;
}

// Ids of one stretch of this length (25.5 days) are kept in one partition of a ring.
inline constexpr int stretch_bits = 51;

// Lines that many events refer to, of sessions and of sources, are written anew after this time while events do: none
// that is older than an event by more than that, of sources by twice as much, is what it refers to.
inline constexpr EventId one_day = EventId{86'400'000'000} << events_per_tick_bits;
inline constexpr EventId session_interval = one_day, source_interval = 25 * one_day;

// Whether an event of `now` may refer to a line that was written at `written` (0: there is none).
constexpr bool is_fresh(EventId written, EventId now, EventId interval) noexcept {
    return written != 0 && now - written < interval;
}

// The first of `ticks` ticks for events that are recorded at `now` (microseconds since 2000), when `last` is the last
// tick that was given away: never the same twice, in order also where the clock stands still or goes back, and all in
// one partition.
constexpr std::uint64_t first_tick(std::uint64_t last, std::uint64_t now, std::uint64_t ticks) noexcept {
    constexpr int shift = stretch_bits - events_per_tick_bits;
    const std::uint64_t first = now > last ? now : last + 1, stretch = (first + ticks - 1) >> shift;
    return first >> shift == stretch ? first : stretch << shift;
}

// The partition of a ring of 16 in which the event is kept: ((id >> 51) & 15).
constexpr int ring_place(EventId event) noexcept {
    return static_cast<int>((event >> stretch_bits) & 15);
}

} // namespace dbnet::provenance
