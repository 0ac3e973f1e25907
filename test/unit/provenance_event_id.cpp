// Ids of events: order, room and partitions.
#include "provenance/event_id.hpp"

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
    EXPECT_EQ(first_tick(0, 1'000), 1'000u);
    EXPECT_EQ(first_tick(999, 1'000), 1'000u);
    EXPECT_EQ(first_tick(1'000, 1'000), 1'001u) << "two within a microsecond";
    EXPECT_EQ(first_tick(5'000, 1'000), 5'001u) << "the clock was set back";
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
