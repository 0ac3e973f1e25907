// How many rows of a mirror are read together.
#include "bgworker/read_pace.hpp"

#include <gtest/gtest.h>

using dbnet::bgworker::ReadPace;

TEST(ReadPace, FallsToASingleRowAndGrowsAgain) {
    ReadPace pace(100);
    EXPECT_EQ(pace.together(), 100);
    for (const size_t expected : {25, 6, 1, 1}) {
        pace.on_failure(pace.together());
        EXPECT_EQ(pace.together(), expected);
    }
    for (const size_t expected : {2, 4, 8, 16, 32, 64, 100, 100}) {
        pace.on_success(pace.together(), 0, 249, 1000);
        EXPECT_EQ(pace.together(), expected);
    }
}

TEST(ReadPace, IsAQuarterOfWhatFailed) {
    ReadPace pace(100);
    pace.on_failure(20); // there were no more
    EXPECT_EQ(pace.together(), 5);
}

TEST(ReadPace, StaysWhereReadingIsSlowOrTellsNothing) {
    ReadPace pace(100);
    pace.on_failure(100);
    pace.on_success(25, 0, 250, 1000);
    EXPECT_EQ(pace.together(), 25) << "four times as slow, and twice as many are too many";
    pace.on_success(24, 0, 0, 1000);
    EXPECT_EQ(pace.together(), 25) << "fewer";
}

TEST(ReadPace, IsAQuarterOfWhatTookTooLong) {
    ReadPace pace(100);
    pace.on_success(100, 0, 1000, 1000);
    EXPECT_EQ(pace.together(), 100) << "within the limit";
    pace.on_success(100, 0, 1001, 1000);
    EXPECT_EQ(pace.together(), 25);
    pace.on_success(1, 0, 1001, 1000);
    EXPECT_EQ(pace.together(), 1) << "one row is no fewer rows";
}

TEST(ReadPace, BeginsAsSmallAsItIsTold) {
    ReadPace pace(100, 30);
    for (const size_t expected : {30, 60, 100}) {
        EXPECT_EQ(pace.together(), expected);
        pace.on_success(pace.together(), 0, 0, 1000);
    }
    EXPECT_EQ(ReadPace(10, 30).together(), 10);
}

TEST(ReadPace, IsAQuarterOfWhatWasTooLarge) {
    ReadPace pace(100, 40);
    pace.on_success(40, ReadPace::most_bytes / 4, 0, 1000);
    EXPECT_EQ(pace.together(), 40) << "twice as many might be too large";
    pace.on_success(40, ReadPace::most_bytes + 1, 0, 1000);
    EXPECT_EQ(pace.together(), 10);
    pace.on_success(10, ReadPace::most_bytes / 4 - 1, 0, 1000);
    EXPECT_EQ(pace.together(), 20);
}
