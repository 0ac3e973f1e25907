// Ids of events: order, room and partitions.
#include "provenance/record/ring.hpp"

#include <gtest/gtest.h>

using namespace dbnet::provenance;

TEST(EventId, TicksMakeRoomForAllEvents) {
    EXPECT_EQ(ticks_for(0), 1u);
    EXPECT_EQ(ticks_for(1), 1u);
    EXPECT_EQ(ticks_for(1024), 1u);
    EXPECT_EQ(ticks_for(1025), 2u);
    EXPECT_EQ(ticks_for(UINT32_MAX), 1u << 22);
}

TEST(EventId, FollowsTheClockAndNeverGoesBack) {
    EXPECT_EQ(first_tick(0, 1'000, 1), 1'000u);
    EXPECT_EQ(first_tick(999, 1'000, 1), 1'000u);
    EXPECT_EQ(first_tick(1'000, 1'000, 5), 1'001u) << "two within a microsecond";
    EXPECT_EQ(first_tick(5'000, 1'000, 1), 5'001u) << "the clock was set back";
}

TEST(EventId, ATransactionIsKeptInOnePartition) {
    constexpr std::uint64_t place = std::uint64_t{1} << 41;
    EXPECT_EQ(first_tick(0, place - 3, 3), place - 3);
    EXPECT_EQ(first_tick(0, place - 3, 4), place) << "not some of it there and some here";
    EXPECT_EQ(first_tick(place + 7, place - 3, 4), place + 8);
}

TEST(EventId, HoldsItsTick) {
    EXPECT_EQ(first_event(3), 3 << 10);
    EXPECT_EQ(tick_of(first_event(850'000'000'000'000) + 1023), 850'000'000'000'000u);
    EXPECT_EQ(tick_of(first_event(850'000'000'000'000) + 1024), 850'000'000'000'001u);
}

TEST(EventId, RingGoesRoundAfter16Places) {
    constexpr std::uint64_t place = std::uint64_t{1} << 41; // microseconds
    EXPECT_EQ(ring_place(first_event(place - 1) + 1023), 0);
    EXPECT_EQ(ring_place(first_event(place)), 1);
    EXPECT_EQ(ring_place(first_event(15 * place)), 15);
    EXPECT_EQ(ring_place(first_event(16 * place)), 0);
}

namespace {

constexpr EventId stretch = EventId{1} << event_ring.shift;

std::string places_that_are_over(EventId oldest, EventId newest) {
    std::string places;
    for (int place = 0; place < event_ring.places; ++place)
        if (event_ring.is_over(place, oldest, newest))
            places += (places.empty() ? "" : " ") + std::to_string(place);
    return places;
}

} // namespace

TEST(EventId, LinesAreFreshForTheirInterval) {
    constexpr EventId written = 9000 * one_day;
    EXPECT_FALSE(is_fresh(0, 10, session_interval)) << "there is none";
    EXPECT_TRUE(is_fresh(written, written + session_interval - 1, session_interval));
    EXPECT_FALSE(is_fresh(written, written + session_interval, session_interval));
    EXPECT_TRUE(is_fresh(written, written + session_interval, source_interval));
    EXPECT_TRUE(is_fresh(written, written - 1, source_interval)) << "another session was quicker";
}

TEST(Ring, WhatTheWindowTouchesIsKept) {
    EXPECT_EQ(places_that_are_over(18 * stretch, 18 * stretch + 1), "0 1 3 4 5 6 7 8 9 10 11 12 13 14 15");
    EXPECT_EQ(places_that_are_over(18 * stretch - 1, 20 * stretch), "0 5 6 7 8 9 10 11 12 13 14 15");
    EXPECT_EQ(places_that_are_over(14 * stretch, 18 * stretch), "3 4 5 6 7 8 9 10 11 12 13") << "round the end";
    EXPECT_EQ(places_that_are_over(1 * stretch + 5, 16 * stretch + 9), "");
    EXPECT_EQ(places_that_are_over(2 * stretch, 16 * stretch + 9), "1") << "emptied before its next round";
}

TEST(Ring, LongestRetentionsLeaveAPlaceForTheNextRound) {
    EXPECT_LT(380 * one_day, (event_ring.places - 1) * stretch);
    EXPECT_LT(44 * one_day, (actuation_ring.places - 1) * (EventId{1} << actuation_ring.shift));
    EXPECT_EQ(event_ring.start_of_stretch(3 * stretch + 77), 3 * stretch);
}
