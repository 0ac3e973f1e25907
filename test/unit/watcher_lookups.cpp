// Which objects the server is asked about one by one, and when.
#include "bgworker/watch/watcher_lookups.hpp"

#include <gtest/gtest.h>

namespace dbnet::bgworker {
namespace {

using kubernetes::Outcome;
using mirror::Key;

Key key(int number) {
    return {1, "space", "object-" + std::to_string(1000 + number)};
}

Outcome refusal(const char *message, int retry_after_ms = -1) {
    Outcome outcome;
    outcome.kind = Outcome::denied;
    outcome.status = 403;
    outcome.message = message;
    outcome.retry_after_ms = retry_after_ms;
    return outcome;
}

class LookUpsTest : public testing::Test {
protected:
    void want(int count) {
        for (int i = 0; i < count; i++)
            lookups.want({key(i), "u"}, 0);
    }
    std::vector<Key> take(Milliseconds now) {
        std::vector<Key> keys;
        while (const auto object = lookups.next(now))
            keys.push_back(object->key);
        return keys;
    }

    LookUps lookups;
};

TEST(UnlistedTest, VersionsThatOrderTellWhatIsGone) {
    const ListFacts list{"100"};
    EXPECT_EQ(judge_unlisted("99", list), Unlisted::gone);
    EXPECT_EQ(judge_unlisted("100", list), Unlisted::gone);
    EXPECT_EQ(judge_unlisted("101", list), Unlisted::newer) << "it was made since";
    EXPECT_EQ(judge_unlisted("1000", list), Unlisted::newer) << "as numbers, not as text";
    EXPECT_EQ(judge_unlisted("101", {"100", true}), Unlisted::gone) << "in a store that went back";
    EXPECT_EQ(judge_unlisted("101", {"100", false, true}), Unlisted::unknown) << "perhaps in another cluster";
    EXPECT_EQ(judge_unlisted("99", {"100", false, false, true}), Unlisted::unknown) << "perhaps out of the selector";
}

// As aggregated API servers give them: equal or not is all that can be said, so that nothing is taken for gone unasked.
TEST(UnlistedTest, OpaqueVersionsTellNothing) {
    for (const char *recorded : {"a7", "", "007", "7.0"})
        for (const bool is_rewound : {false, true})
            for (const bool is_new : {false, true})
                EXPECT_EQ(judge_unlisted(recorded, {"b7", is_rewound, is_new}), Unlisted::unknown) << recorded;
    EXPECT_EQ(judge_unlisted("b7", {"100"}), Unlisted::unknown);
    EXPECT_EQ(judge_unlisted("7", {"b7"}), Unlisted::unknown);
}

TEST_F(LookUpsTest, ManyAreAskedAboutAFewAtATime) {
    want(1000);
    EXPECT_EQ(lookups.due(), 0);
    const std::vector<Key> first = take(0);
    EXPECT_EQ(first.size(), LookUps::at_once);
    EXPECT_EQ(lookups.due(), -1) << "an answer is awaited";
    lookups.done(first[0]);
    lookups.drop(first[1]);
    EXPECT_EQ(lookups.due(), 0);
    EXPECT_EQ(take(0).size(), 2u);
    EXPECT_EQ(lookups.size(), 998u);
}

TEST_F(LookUpsTest, ARefusalIsNotAskedAgainAtOnce) {
    want(40);
    Milliseconds now = 0;
    size_t asked = 0;
    for (; now < 600'000; now = lookups.due()) {
        const std::vector<Key> keys = take(now);
        ASSERT_FALSE(keys.empty());
        asked += keys.size();
        for (const Key &one : keys)
            lookups.refused(one, refusal("may not get"), now);
        ASSERT_GT(lookups.due(), now);
    }
    EXPECT_EQ(lookups.size(), 40u) << "nothing is taken for gone";
    EXPECT_LE(asked, LookUps::at_once * 30);
    EXPECT_EQ(lookups.problem(), "what became of 40 objects could not be found out: may not get");
    lookups.hurry();
    while (lookups.due() > now)
        now = lookups.due();
    lookups.done(take(now).front());
    EXPECT_EQ(lookups.problem(), "");
}

TEST_F(LookUpsTest, TheServerSaysWhen) {
    want(1);
    lookups.refused(take(0).front(), refusal("slow down", 5'000), 10);
    EXPECT_EQ(lookups.due(), 5'010);
    EXPECT_EQ(lookups.problem(), "") << "once is nothing to tell";
}

TEST_F(LookUpsTest, OneThatFailsDoesNotHoldUpTheOthers) {
    want(3);
    Milliseconds now = 0;
    lookups.refused(take(now).front(), refusal("not this one"), now);
    lookups.done(key(1));
    lookups.done(key(2));
    int asked = 0;
    for (; now < 100'000; now = lookups.due()) {
        for (const Key &one : take(now)) {
            asked += one == key(0);
            lookups.refused(one, refusal("not this one"), now);
        }
        lookups.want({key(1), "u"}, now);
        lookups.hurry();
        EXPECT_EQ(take(now).size(), 1u);
        lookups.done(key(1));
    }
    EXPECT_LT(asked, 12);
}

TEST_F(LookUpsTest, WhatIsWantedAnewIsAskedAnew) {
    want(1);
    EXPECT_EQ(take(0).size(), 1u);
    lookups.want({key(0), "v", "17", "16"}, 100);
    lookups.refused(key(0), refusal("of the first"), 10);
    EXPECT_EQ(lookups.due(), 100) << "the answer to the first counts for nothing";
    EXPECT_FALSE(lookups.next(99));
    EXPECT_TRUE(lookups.wants(key(0)));
    const auto object = lookups.next(100);
    EXPECT_EQ(object->uid, "v");
    EXPECT_EQ(object->as_of, "17");
    EXPECT_EQ(object->version, "16");
    lookups.done(key(0));
    EXPECT_FALSE(lookups.wants(key(0)));
}

} // namespace
} // namespace dbnet::bgworker
