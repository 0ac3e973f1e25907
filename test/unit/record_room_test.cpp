// How many pages are made ahead of what is recorded.
#include "bgworker/record_room.hpp"

#include <gtest/gtest.h>

using dbnet::bgworker::least_room;
using dbnet::bgworker::most_room;
using dbnet::bgworker::room_wanted;

TEST(RecordRoom, WhatIsFilledInHalfASecondIsToBeFree) {
    EXPECT_EQ(room_wanted(20, 100, 0), 100);
    EXPECT_EQ(room_wanted(20, 100, 70), 30);
    EXPECT_EQ(room_wanted(20, 100, 100), 0);
    EXPECT_EQ(room_wanted(20, 100, 300), 0) << "what there is stays";
    EXPECT_EQ(room_wanted(200, 1000, 0), 100) << "by the time since the last look";
}

TEST(RecordRoom, LittleIsLeftToSessions) {
    EXPECT_EQ(room_wanted(0, 1000, 0), 0);
    EXPECT_EQ(room_wanted(2 * least_room - 1, 1000, 0), 0);
    EXPECT_EQ(room_wanted(2 * least_room, 1000, 0), least_room);
}

TEST(RecordRoom, MuchHasABound) {
    EXPECT_EQ(room_wanted(1'000'000, 100, 0), most_room);
    EXPECT_EQ(room_wanted(1'000'000, 0, most_room - 1), 1) << "two looks in one millisecond";
    EXPECT_EQ(room_wanted(-5, 100, 0), 0) << "pages that others have given back";
}
