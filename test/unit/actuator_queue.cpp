// Order of objects: one entry per object, ranks of a transaction, newer commits, backoff.
#include "bgworker/actuation/actuator_queue.hpp"

#include "mirror/decision/kind_rank.hpp"

#include <gtest/gtest.h>

using namespace dbnet::bgworker;
using dbnet::mirror::apply_rank;
using dbnet::mirror::Key;
using dbnet::mirror::remove_rank;

namespace {

class ActuatorQueue : public testing::Test {
protected:
    Queue queue{[](uint32_t) { return std::string("lane"); }};

    static Key key(const char *name) { return {1, "", name}; }

    void take(std::vector<Wanted> wanted, uint64_t transaction = 1) {
        queue.take(wanted, {transaction, 0, 0, 0}, std::make_shared<Extent>(), 0);
    }

    // Names that may go now, taken from the queue and decided about.
    std::vector<std::string> ready() {
        std::vector<std::string> names;
        for (Entry *entry : queue.take_ready("lane", 100)) {
            names.push_back(entry->key.name);
            queue.prepared(*entry);
        }
        return names;
    }

    void settle(const char *name) {
        Entry *entry = queue.find(key(name));
        ASSERT_NE(entry, nullptr) << name;
        queue.settled(*entry);
    }
};

using Names = std::vector<std::string>;

} // namespace

TEST_F(ActuatorQueue, OneEntryPerObject) {
    take({{key("a"), false, false, 0}}, 1);
    take({{key("a"), false, false, 0}}, 2);
    EXPECT_EQ(queue.size(), 1u);
    EXPECT_EQ(ready(), Names{"a"});
    EXPECT_EQ(ready(), Names{}) << "the second mention is passed over";
    EXPECT_EQ(queue.find(key("a"))->cause.transaction, 2u);
    settle("a");
    EXPECT_EQ(queue.size(), 0u);
}

// Who asks for another try has not committed the row; who commits it anew has.
TEST_F(ActuatorQueue, KnowsWhoHasCommittedTheRow) {
    take({{key("a"), false, false, 0, 1025, 11}});
    EXPECT_EQ(queue.find(key("a"))->cause.committer, 11u);
    take({{key("a"), false, false, 0, 0, 0}}, 2);
    EXPECT_EQ(queue.find(key("a"))->cause.committer, 11u);
    EXPECT_EQ(queue.find(key("a"))->cause.transaction, 2u);
    take({{key("a"), false, false, 0, 2049, 12}}, 3);
    EXPECT_EQ(queue.find(key("a"))->cause.committer, 12u) << "the newest row's";
    take({{key("a"), false, false, 0, 0, 0}}, 0);
    EXPECT_EQ(queue.find(key("a"))->cause.committer, 12u) << "a compare asks nothing new";
    take({{key("b"), false, false, 0, 0, 0}}, 2);
    EXPECT_EQ(queue.find(key("b"))->cause.committer, 0u) << "to be looked up";
}

// What a call carries is on record as its cause: each object has a version of its own in one transaction.
TEST_F(ActuatorQueue, KnowsTheVersionOfTheNewestChange) {
    take({{key("a"), false, false, 0, 1025}, {key("b"), true, false, 0, 1027}});
    EXPECT_EQ(queue.find(key("a"))->cause.event, 1025u);
    EXPECT_EQ(queue.find(key("b"))->cause.event, 1027u);
    take({{key("a"), false, false, 0, 2049}}, 2);
    EXPECT_EQ(queue.find(key("a"))->cause.event, 2049u);
    queue.touch(key("a"), "", 0);
    EXPECT_EQ(queue.find(key("a"))->cause.event, 2049u) << "an event of the server is no change of ours";
    take({{key("a"), false, false, 0}}, 0);
    EXPECT_EQ(queue.find(key("a"))->cause.event, 2049u) << "nor is what a compare finds still to be done";
    take({{key("c"), false, false, 0}}, 0);
    EXPECT_EQ(queue.find(key("c"))->cause.event, 0u) << "found by a compare";
}

// wait_synced() counts on it: what dbnet.object does not tell of is known here, by mirror, with its oldest commit.
TEST_F(ActuatorQueue, TellsWhichCommitsNobodyCanSeeYet) {
    const auto commit = [&](Key key, uint64_t lsn) {
        const Wanted wanted{key, false, false, 0};
        queue.take(std::span(&wanted, 1), {lsn, lsn, 0, 0}, std::make_shared<Extent>(), 0);
    };
    using Untold = std::map<uint32_t, uint64_t>;
    EXPECT_EQ(queue.untold(), Untold{});
    commit({1, "", "a"}, 100);
    commit({2, "", "b"}, 150);
    commit({1, "", "a"}, 200);
    EXPECT_EQ(queue.untold(), (Untold{{1, 100}, {2, 150}})) << "the oldest counts";
    queue.take_ready("lane", 100);
    queue.in_flight(*queue.find({1, "", "a"}));
    queue.in_flight(*queue.find({2, "", "b"}));
    queue.find({1, "", "a"})->untold_lsn = 0; // told: dbnet.object says 'applying'
    EXPECT_EQ(queue.untold(), (Untold{{2, 150}}));
    commit({1, "", "a"}, 300);
    commit({1, "", "a"}, 400);
    EXPECT_EQ(queue.untold(), (Untold{{1, 300}, {2, 150}})) << "what came while it was in flight";
    queue.finished(*queue.find({1, "", "a"}));
    queue.settled(*queue.find({1, "", "a"}));
    queue.settled(*queue.find({2, "", "b"}));
    EXPECT_EQ(queue.untold(), (Untold{{1, 300}})) << "is still to be done";
    queue.take_ready("lane", 100);
    queue.settled(*queue.find({1, "", "a"}));
    EXPECT_EQ(queue.untold(), Untold{});
    queue.touch({1, "", "a"}, "", 0);
    EXPECT_EQ(queue.untold(), (Untold{{1, 1}})) << "what an event asks for is older than any commit";
}

TEST_F(ActuatorQueue, NewerCommitDuringARequestIsTakenUpAfterwards) {
    take({{key("a"), false, false, 0}});
    ready();
    queue.in_flight(*queue.find(key("a")));
    take({{key("a"), false, false, 0}}, 2);
    EXPECT_EQ(ready(), Names{}) << "one request per object";
    queue.finished(*queue.find(key("a")));
    settle("a");
    EXPECT_EQ(ready(), Names{"a"});
}

TEST_F(ActuatorQueue, NewerCommitDuringADecisionIsTakenUpAfterwards) {
    take({{key("a"), false, false, 0}});
    Entry &entry = *queue.take_ready("lane", 1).front();
    take({{key("a"), false, false, 0, 0, 7}}, 2);
    EXPECT_EQ(ready(), Names{});
    EXPECT_TRUE(entry.again);
    EXPECT_EQ(entry.cause.committer, 7u);
    settle("a"); // by what is older
    EXPECT_EQ(ready(), Names{"a"});
    take({{key("a"), false, false, 0}}, 3);
    Entry &taken = *queue.take_ready("lane", 1).front();
    take({{key("a"), false, false, 0}}, 4);
    EXPECT_TRUE(queue.include_newer(taken)); // the decision is about both
    EXPECT_FALSE(taken.again);
    EXPECT_EQ(taken.state, Entry::State::deciding);
    EXPECT_FALSE(queue.has_ready("lane"));
    settle("a");
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, NewerCommitThatHasToWaitTakesADecisionAlongAndKeepsNobodyOfTheOlder) {
    take({{key("a"), false, false, 0}, {key("b"), false, false, 1}});
    Entry &entry = *queue.take_ready("lane", 1).front();
    take({{key("c"), false, false, 0}, {key("a"), false, false, 1}}, 2);
    EXPECT_FALSE(queue.include_newer(entry));
    EXPECT_EQ(entry.state, Entry::State::blocked);
    EXPECT_EQ(ready(), (Names{"c", "b"}));
    settle("c");
    EXPECT_EQ(ready(), Names{"a"});
}

TEST_F(ActuatorQueue, NewerCommitReplacesAPreparedDecision) {
    take({{key("a"), false, false, 0}});
    ready();
    take({{key("a"), false, false, 0}}, 2);
    EXPECT_EQ(ready(), Names{"a"});
}

TEST_F(ActuatorQueue, RanksGoInOrder) {
    take({{key("pod"), false, false, 20},
          {key("old"), true, false, 190},
          {key("space"), false, false, 1},
          {key("pod2"), false, false, 20}});
    EXPECT_EQ(ready(), Names{"space"});
    settle("space");
    EXPECT_EQ(ready(), (Names{"pod", "pod2"}));
    settle("pod");
    EXPECT_EQ(ready(), Names{});
    settle("pod2");
    EXPECT_EQ(ready(), Names{"old"});
    settle("old");
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, LaterRanksWaitForWhatWasRefusedUntilItIsMended) {
    take({{key("space"), false, false, 1}, {key("config"), false, false, 10}});
    ready();
    queue.stopped(*queue.find(key("space")));
    EXPECT_EQ(ready(), Names{});
    take({{key("other"), false, false, 10}}, 2);
    EXPECT_EQ(ready(), Names{"other"}) << "other transactions are not held up";
    queue.touch(key("space"), "", 0);
    EXPECT_EQ(ready(), Names{"space"});
    settle("space");
    EXPECT_EQ(ready(), Names{"config"});
}

// A rename while the old name is still on its way: while the new name is refused, the object stays under the old one.
TEST_F(ActuatorQueue, SoDoesWhatIsStillUnderWayForAnOlderCommit) {
    take({{key("old"), false, false, 0}});
    EXPECT_EQ(ready(), Names{"old"});
    queue.in_flight(*queue.find(key("old")));
    take({{key("new"), false, false, 1}, {key("old"), true, false, 191}}, 2);
    EXPECT_EQ(ready(), Names{"new"});
    queue.stopped(*queue.find(key("new")));
    settle("old");
    EXPECT_EQ(ready(), Names{}) << "it is to be deleted once the new one is there";
    take({{key("new"), false, false, 0}}, 3);
    EXPECT_EQ(ready(), Names{"new"});
    settle("new");
    EXPECT_EQ(ready(), Names{"old"});
    settle("old");
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, ANewerCommitOfTheRefusedDoesNotLetThemGo) {
    take({{key("new"), false, false, 1}, {key("old"), true, false, 191}});
    EXPECT_EQ(ready(), Names{"new"});
    queue.stopped(*queue.find(key("new")));
    for (uint64_t transaction = 2; transaction < 5; transaction++) {
        take({{key("new"), false, false, 1}}, transaction);
        EXPECT_EQ(ready(), Names{"new"});
        queue.in_flight(*queue.find(key("new")));
        take({{key("new"), false, false, 1}}, 10 * transaction);
        queue.stopped(*queue.find(key("new")));
        EXPECT_EQ(ready(), Names{"new"}) << "the commit that came meanwhile";
        queue.stopped(*queue.find(key("new")));
        EXPECT_EQ(queue.find(key("new"))->waves.size(), 1u);
    }
    take({{key("new"), false, false, 0}}, 100);
    settle("new");
    EXPECT_EQ(ready(), Names{"old"});
    settle("old");
    EXPECT_EQ(queue.size(), 0u);
}

// A row moves to a server that may not be written to for now: its object is not deleted where it was until it is made
// there, also when a compare tells of it in between.
TEST_F(ActuatorQueue, ACompareLetsNobodyGoWhoWaits) {
    take({{key("made"), false, false, 1}, {key("deleted"), true, false, 2}});
    EXPECT_EQ(ready(), Names{"made"});
    queue.stopped(*queue.find(key("made")));
    EXPECT_EQ(ready(), Names{});
    take({{key("made"), false, false, 0}, {key("deleted"), true, false, 0}}, 0);
    EXPECT_EQ(ready(), Names{"made"});
    settle("made");
    EXPECT_EQ(ready(), Names{"deleted"});
}

TEST_F(ActuatorQueue, WhatIsRefusedAndKeepsNobodyIsForgotten) {
    take({{key("a"), false, false, 0}});
    ready();
    queue.stopped(*queue.find(key("a")));
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, TransactionsInOppositeOrderDoNotLockEachOther) {
    take({{key("space"), false, false, 1}, {key("config"), false, false, 10}}, 1);
    take({{key("space"), true, false, 200}, {key("config"), true, false, 191}}, 2);
    EXPECT_EQ(ready(), Names{"config"});
    settle("config");
    EXPECT_EQ(ready(), Names{"space"});
    settle("space");
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, TheSameWhileTheFirstIsUnderWayAndFails) {
    take({{key("space"), false, false, 1}, {key("config"), false, false, 10}}, 1);
    EXPECT_EQ(ready(), Names{"space"});
    queue.in_flight(*queue.find(key("space")));
    take({{key("space"), true, false, 200}, {key("config"), true, false, 191}}, 2);
    queue.finished(*queue.find(key("space")));
    queue.stopped(*queue.find(key("space")));
    EXPECT_EQ(ready(), Names{"config"});
    settle("config");
    EXPECT_EQ(ready(), Names{"space"});
}

// Requests for both hang while transactions create and delete them again and again.
TEST_F(ActuatorQueue, TheSameWhileBothAreUnderWay) {
    const std::vector<Wanted> create = {{key("a"), false, false, 1}, {key("b"), false, false, 10}};
    const std::vector<Wanted> remove = {{key("a"), true, false, 200}, {key("b"), true, false, 191}};
    take(create, 1);
    EXPECT_EQ(ready(), Names{"a"});
    queue.in_flight(*queue.find(key("a")));
    take(remove, 2);
    EXPECT_EQ(ready(), Names{"b"});
    queue.in_flight(*queue.find(key("b")));
    take(create, 3);
    take(remove, 4);
    queue.finished(*queue.find(key("a")));
    settle("a");
    EXPECT_EQ(ready(), Names{}) << "b goes first";
    queue.finished(*queue.find(key("b")));
    settle("b");
    EXPECT_EQ(ready(), Names{"b"});
    settle("b");
    EXPECT_EQ(ready(), Names{"a"});
    settle("a");
    EXPECT_EQ(queue.size(), 0u);
}

TEST_F(ActuatorQueue, BackoffEndsByTimeOrByANewCommit) {
    take({{key("a"), false, false, 0}, {key("b"), false, false, 0}});
    ready();
    queue.retry_at(*queue.find(key("a")), 500);
    queue.retry_at(*queue.find(key("b")), 900);
    EXPECT_EQ(queue.next_due_ms(100), 400);
    queue.advance(499);
    EXPECT_EQ(ready(), Names{});
    queue.advance(500);
    EXPECT_EQ(ready(), Names{"a"});
    take({{key("b"), false, false, 0}}, 2);
    EXPECT_EQ(ready(), Names{"b"});
    settle("a");
    settle("b");
    queue.advance(2000);
    EXPECT_EQ(ready(), Names{});
}

TEST_F(ActuatorQueue, DroppingAMirrorLetsOthersGo) {
    take({{key("space"), false, false, 1}, {{2, "", "config"}, false, false, 10}});
    queue.drop([](const Entry &entry) { return entry.key.relation == 1; });
    EXPECT_EQ(ready(), Names{"config"});
}

TEST(ActuatorRank, WhatOthersNeedGoesFirstAndIsDeletedLast) {
    EXPECT_LT(apply_rank("", "Namespace"), apply_rank("", "ConfigMap"));
    EXPECT_LT(apply_rank("", "ConfigMap"), apply_rank("apps", "Deployment"));
    EXPECT_LT(apply_rank("", "Node"), apply_rank("", "Service"));
    EXPECT_LT(apply_rank("apps", "Deployment"), apply_rank("example.com", "Thing"));
    EXPECT_LT(apply_rank("example.com", "Thing"),
              apply_rank("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"));
    EXPECT_GT(remove_rank("", "Namespace"), remove_rank("", "ConfigMap"));
    EXPECT_GT(remove_rank("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
              apply_rank("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"));
}
