// When two put their own value back again and again.
#include "bgworker/actuation/fights.hpp"

#include <gtest/gtest.h>

using namespace dbnet::bgworker;
using dbnet::mirror::Key;

namespace {

const Key web{1, "shop", "web"};

// Puts back until the next time has to wait; returns how often it was done.
int fight(Fights &fights, const Key &key, const std::string &manager, int64_t now_ms) {
    for (int count = 0;; count++) {
        if (fights.wait_ms(key, manager, now_ms) > 0)
            return count;
        fights.note_revert(key, manager, now_ms);
    }
}

} // namespace

TEST(Fights, FiveInAMinuteAreEnough) {
    Fights fights;
    EXPECT_EQ(fight(fights, web, "kubectl", 1'000'000), 5);
    EXPECT_EQ(fights.reverts(web), 5);
    EXPECT_EQ(fights.wait_ms(web, "kubectl", 1'000'400), 600);
    EXPECT_EQ(fights.wait_ms(web, "helm", 1'000'400), 0) << "another manager is another matter";
    EXPECT_EQ(fights.wait_ms({1, "shop", "db"}, "kubectl", 1'000'400), 0) << "and so is another object";
}

TEST(Fights, SlowDriftIsNoFight) {
    Fights fights;
    for (int64_t now_ms = 0; now_ms < 600'000; now_ms += 15'001) {
        EXPECT_EQ(fights.wait_ms(web, "kubectl", now_ms), 0) << now_ms;
        fights.note_revert(web, "kubectl", now_ms);
    }
}

TEST(Fights, EachTimeWaitsTwiceAsLongUpToAMinute) {
    Fights fights;
    int64_t now_ms = 1'000'000;
    fight(fights, web, "kubectl", now_ms);
    for (const int64_t expected : {1'000, 2'000, 4'000, 8'000, 16'000, 32'000, 60'000, 60'000}) {
        EXPECT_EQ(fights.wait_ms(web, "kubectl", now_ms), expected);
        now_ms += expected;
        EXPECT_EQ(fights.wait_ms(web, "kubectl", now_ms), 0);
        fights.note_revert(web, "kubectl", now_ms);
    }
}

TEST(Fights, AQuietMinuteEndsIt) {
    Fights fights;
    fight(fights, web, "kubectl", 1'000'000);
    EXPECT_EQ(fights.wait_ms(web, "kubectl", 1'060'999), 0);
    EXPECT_EQ(fights.size(), 1u);
    EXPECT_EQ(fights.wait_ms(web, "kubectl", 1'062'000), 0);
    EXPECT_EQ(fights.size(), 0u) << "nothing is kept of it";
    EXPECT_EQ(fight(fights, web, "kubectl", 1'062'000), 5);
}

TEST(Fights, TheNextWorkerGoesOnWhereTheLastOneWas) {
    Fights fights;
    fights.resume(web, "kubectl", 7, 1'000'000);
    EXPECT_EQ(fights.wait_ms(web, "kubectl", 1'000'000), 4'000);
    EXPECT_EQ(fights.reverts(web), 7);
    fights.note_revert(web, "kubectl", 1'004'000);
    EXPECT_EQ(fights.wait_ms(web, "kubectl", 1'004'000), 8'000);
    fights.resume(web, "kubectl", 5, 1'004'000);
    EXPECT_EQ(fights.reverts(web), 8) << "what is known goes before what is on record";
    fights.resume({1, "shop", "db"}, "kubectl", 1000, 1'000'000);
    EXPECT_EQ(fights.wait_ms({1, "shop", "db"}, "kubectl", 1'000'000), 60'000);
}
