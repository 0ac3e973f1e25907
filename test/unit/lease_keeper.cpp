// Who may write by the Lease, and when; Leases as they are read and written.
#include "bgworker/actuation/lease_keeper.hpp"

#include "kubernetes/failure.hpp"

#include <gtest/gtest.h>

namespace dbnet::bgworker {
namespace {

using kubernetes::Lease;
using LeaseAction = LeaseKeeper::Action;
using nlohmann::json;

Lease lease(const std::string &holder, const std::string &version, int64_t term = 0) {
    json body = {{"kind", "Lease"},
                 {"metadata",
                  {{"name", "l"},
                   {"namespace", "default"},
                   {"resourceVersion", version},
                   {"annotations", {{"dbnet.io/position", "7/1/0/10/0"}, {"dbnet.io/term", std::to_string(term)}}}}},
                 {"spec", {{"holderIdentity", holder}, {"leaseDurationSeconds", 30}, {"renewTime", "12:00"}}}};
    return kubernetes::parse_lease(body.dump());
}

class LeaseKeeperTest : public testing::Test {
protected:
    // Reads, finds none and makes one: the holder from `now` on.
    void hold(int64_t now) {
        EXPECT_EQ(keeper.next(now), LeaseAction::read);
        keeper.on_absent(now);
        EXPECT_EQ(keeper.next(now), LeaseAction::create);
        keeper.on_written(lease("us", "1"), now + 5);
    }
    void see(const Lease &other, int64_t now, bool known = true) {
        EXPECT_EQ(keeper.next(now), LeaseAction::read);
        keeper.on_read(Lease(other), known ? "" : "had written more", now);
        EXPECT_FALSE(known && keeper.is_older_copy());
    }
    bool is_open(int64_t now) const { return keeper.closed_reason(now).empty(); }

    LeaseKeeper keeper{{"us", 0, false}, 30'000};
};

} // namespace

TEST_F(LeaseKeeperTest, ClosedUntilTheLeaseIsMade) {
    EXPECT_EQ(keeper.closed_reason(0), "waits for the server's lease");
    hold(1000);
    EXPECT_TRUE(is_open(1005));
    EXPECT_EQ(keeper.next(1005), LeaseAction::none);
}

TEST_F(LeaseKeeperTest, RenewsEveryThirdAndCountsFromTheSending) {
    hold(0);
    EXPECT_EQ(keeper.due_ms(), 10'000);
    EXPECT_EQ(keeper.next(9'999), LeaseAction::none);
    EXPECT_EQ(keeper.next(10'000), LeaseAction::renew);
    EXPECT_EQ(keeper.next(10'000), LeaseAction::none) << "one request at a time";
    EXPECT_TRUE(is_open(19'999));
    EXPECT_FALSE(is_open(20'000)) << "no answer: a third before others may take it";
    keeper.on_written(lease("us", "2"), 21'000);
    EXPECT_TRUE(is_open(21'000)) << "for it was sent at 10 s";
    EXPECT_FALSE(is_open(30'000));
}

TEST_F(LeaseKeeperTest, GoesOnAsTheSameHolderAtOnce) {
    see(lease("us", "5"), 0);
    EXPECT_FALSE(is_open(0)) << "it may have run out meanwhile";
    EXPECT_EQ(keeper.next(0), LeaseAction::renew);
    keeper.on_written(lease("us", "6"), 1);
    EXPECT_TRUE(is_open(1));
}

TEST_F(LeaseKeeperTest, WaitsForAnotherHolderWhoRenews) {
    for (int64_t now = 0; now < 200'000; now = keeper.due_ms()) {
        see(lease("them", std::to_string(now)), now);
        EXPECT_FALSE(is_open(now));
        EXPECT_NE(keeper.rival().find("them"), std::string::npos);
        EXPECT_EQ(keeper.is_awaited(now), now == 0) << "from the second renewal on it is known to live";
        EXPECT_GE(keeper.due_ms(), now + 100);
        EXPECT_LE(keeper.due_ms(), now + 10'000);
    }
}

TEST_F(LeaseKeeperTest, TakesOverWhatIsNotRenewedForItsDuration) {
    int64_t now = 0;
    for (; now < 30'000; now = keeper.due_ms()) {
        see(lease("them", "9"), now);
        EXPECT_TRUE(keeper.is_awaited(now)) << "it may be dead";
    }
    EXPECT_EQ(now, 30'000);
    see(lease("them", "9"), now);
    EXPECT_EQ(keeper.next(now), LeaseAction::renew);
    keeper.on_overtaken(now);
    see(lease("others", "10"), now);
    EXPECT_FALSE(is_open(now)) << "somebody else was faster";
    EXPECT_GT(keeper.due_ms(), now);
}

// The first answer was lost with its connection, and the second was refused.
TEST_F(LeaseKeeperTest, ARenewalThatArrivesTwiceClosesNothing) {
    hold(0);
    EXPECT_EQ(keeper.next(10'000), LeaseAction::renew);
    keeper.on_overtaken(10'000);
    EXPECT_TRUE(is_open(10'000));
    see(lease("us", "2"), 10'000);
    EXPECT_TRUE(is_open(10'000));
    EXPECT_EQ(keeper.rival(), "");
    EXPECT_EQ(keeper.next(10'000), LeaseAction::renew);
}

TEST_F(LeaseKeeperTest, AnOlderCopyNeverTakesOverByItself) {
    int64_t now = 0;
    for (int i = 0; i < 20; i++, now = keeper.due_ms())
        see(lease("them", "9"), now, false);
    EXPECT_FALSE(keeper.is_awaited(now)) << "a human is";
    EXPECT_GT(now, 60'000);
    EXPECT_NE(keeper.rival().find("older copy"), std::string::npos);
    EXPECT_TRUE(keeper.is_older_copy());
    keeper.configure({"us", 1, true}, 30'000, now);
    EXPECT_FALSE(keeper.is_older_copy()) << "not to be noted once more";
    see(lease("them", "9"), now, false);
    EXPECT_EQ(keeper.next(now), LeaseAction::renew) << "somebody has claimed it";
}

// Whoever deletes the Lease, or takes the right to read it, says nothing about that.
TEST_F(LeaseKeeperTest, NorWithoutALease) {
    keeper.configure({"us", 0, false, "7/1/0/10/0"}, 30'000, 0);
    EXPECT_EQ(keeper.next(0), LeaseAction::read);
    keeper.on_absent(0);
    EXPECT_EQ(
        keeper.closed_reason(0),
        "disarmed: this database is an older copy: another server of it had written up to 7/1/0/10/0, when that was "
        "not in the log of this one; nothing is sent to any device until somebody calls dbnet.claim()");
    EXPECT_FALSE(keeper.is_awaited(0));
    EXPECT_EQ(keeper.next(9'999), LeaseAction::none);
    EXPECT_EQ(keeper.next(10'000), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, 10'000);
    EXPECT_FALSE(is_open(10'000));
    LeaseKeeper restarted{{"us", 0, false, "7/1/0/10/0"}, 30'000};
    EXPECT_EQ(restarted.next(0), LeaseAction::read);
    restarted.on_unavailable("forbidden", true, 0);
    EXPECT_FALSE(restarted.closed_reason(0).empty());
    EXPECT_EQ(restarted.next(10'000), LeaseAction::read);
    restarted.on_read(lease("", "9"), "", 10'000);
    EXPECT_TRUE(restarted.is_older_copy()) << "a holder that has left has written all the same";

    keeper.configure({"us", 1, true}, 30'000, 20'000);
    EXPECT_EQ(keeper.next(20'000), LeaseAction::read);
    keeper.on_absent(20'000);
    EXPECT_EQ(keeper.next(20'000), LeaseAction::create);
}

TEST_F(LeaseKeeperTest, AHolderGoesOnWritingWhatsoeverWeMayRead) {
    see(lease("them", "9"), 0);
    EXPECT_EQ(keeper.next(keeper.due_ms()), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, 6'000);
    EXPECT_NE(keeper.closed_reason(6'000).find("them, another server of this database, writes"), std::string::npos);
    EXPECT_EQ(keeper.next(7'000), LeaseAction::read) << "soon again";
    keeper.on_unavailable("forbidden", false, 7'000);
    keeper.configure({"us", 1, true}, 30'000, 7'001);
    EXPECT_EQ(keeper.next(7'001), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, 7'001);
    EXPECT_TRUE(is_open(7'001)) << "somebody has claimed it";
}

TEST_F(LeaseKeeperTest, NorUnderItsOwnNameWhenItWasPutBack) {
    see(lease("us", "9"), 0, false);
    EXPECT_FALSE(is_open(0));
    EXPECT_NE(keeper.next(keeper.due_ms()), LeaseAction::renew);
}

TEST_F(LeaseKeeperTest, AClaimCountsOnceAndTheNewestWins) {
    see(lease("them", "9"), 0);
    keeper.configure({"us", 1, true}, 30'000, 10);
    see(lease("them", "9"), 10);
    EXPECT_EQ(keeper.next(10), LeaseAction::renew);
    keeper.on_written(lease("us", "10", 1), 11);
    EXPECT_TRUE(is_open(11));
    EXPECT_EQ(keeper.newer_term(), 0);

    EXPECT_EQ(keeper.next(keeper.due_ms()), LeaseAction::renew);
    keeper.on_overtaken(12'000); // claimed elsewhere
    see(lease("them", "11", 2), 12'000);
    EXPECT_FALSE(is_open(12'000));
    EXPECT_EQ(keeper.newer_term(), 2);
    keeper.configure({"us", 2, false}, 30'000, 12'001);
    see(lease("them", "11", 2), 12'001);
    EXPECT_NE(keeper.next(keeper.due_ms()), LeaseAction::renew);
}

TEST_F(LeaseKeeperTest, AFailedRenewalIsTriedAgainWhileThereIsTime) {
    hold(0);
    EXPECT_EQ(keeper.next(10'000), LeaseAction::renew);
    keeper.on_failure("connection refused", 10'100);
    EXPECT_TRUE(is_open(10'100));
    EXPECT_EQ(keeper.due_ms(), 11'100);
    EXPECT_EQ(keeper.next(11'100), LeaseAction::read) << "it may have been done all the same";
    keeper.on_failure("connection refused", 20'000);
    EXPECT_EQ(keeper.closed_reason(20'000), "the server's lease could not be taken or renewed: connection refused");
    see(lease("us", "2"), keeper.due_ms());
    EXPECT_EQ(keeper.next(21'000), LeaseAction::renew);
}

TEST_F(LeaseKeeperTest, WhereThereAreNoLeasesNobodyIsKeptFromWriting) {
    EXPECT_EQ(keeper.next(0), LeaseAction::read);
    keeper.on_unavailable("no such kind", true, 0);
    EXPECT_TRUE(is_open(0));
    EXPECT_EQ(keeper.unavailable(), "no such kind");
    EXPECT_EQ(keeper.next(4'999), LeaseAction::none);
    see(lease("them", "1"), 5'000);
    EXPECT_FALSE(is_open(5'000));
    EXPECT_EQ(keeper.unavailable(), "");
}

// A server that is just starting does not know its roles yet.
TEST_F(LeaseKeeperTest, ARefusalCountsOnceItHasLasted) {
    int64_t now = 0;
    int asked = 0;
    for (; now < 10'000; now = keeper.due_ms(), asked++) {
        EXPECT_EQ(keeper.next(now), LeaseAction::read);
        keeper.on_unavailable("forbidden", false, now);
        EXPECT_EQ(keeper.closed_reason(now), "waits for the server's lease: forbidden");
        EXPECT_TRUE(keeper.is_awaited(now));
        EXPECT_EQ(keeper.unavailable(), "");
    }
    EXPECT_EQ(asked, 10);
    EXPECT_EQ(keeper.next(now), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, now);
    EXPECT_TRUE(is_open(now)) << "credentials without the right";
    EXPECT_EQ(keeper.unavailable(), "forbidden");
    EXPECT_EQ(keeper.due_ms(), now + 5'000) << "much sooner than a Lease lasts";
    hold(now + 5'000);
    EXPECT_EQ(keeper.unavailable(), "");
}

TEST_F(LeaseKeeperTest, ARefusedRenewalDoesNotMakeTwoWriters) {
    hold(0);
    int64_t now = 10'000;
    EXPECT_EQ(keeper.next(now), LeaseAction::renew);
    while (now < 200'000) {
        keeper.on_unavailable("forbidden", false, now);
        EXPECT_EQ(is_open(now), now < 20'000) << "after 30 s somebody else may hold it";
        EXPECT_LE(keeper.due_ms(), now + 1'000);
        now = keeper.due_ms();
        EXPECT_EQ(keeper.next(now), LeaseAction::read);
    }
    EXPECT_EQ(keeper.closed_reason(now), "the server's lease could not be taken or renewed: forbidden");
    EXPECT_EQ(keeper.unavailable(), "");
    keeper.on_read(lease("us", "1"), "", now);
    EXPECT_EQ(keeper.next(now), LeaseAction::renew);
    keeper.on_written(lease("us", "2"), now);
    EXPECT_TRUE(is_open(now));
}

TEST_F(LeaseKeeperTest, ARefusalAfterAnOutageIsAFirstOne) {
    EXPECT_EQ(keeper.next(0), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, 0);
    EXPECT_EQ(keeper.next(1'000), LeaseAction::read);
    keeper.on_failure("connection refused", 50'000);
    EXPECT_EQ(keeper.next(51'000), LeaseAction::read);
    keeper.on_unavailable("forbidden", false, 51'000);
    EXPECT_FALSE(is_open(51'000));
}

TEST_F(LeaseKeeperTest, WhoMayReadItButNotMakeIt) {
    int64_t now = 0;
    for (; keeper.unavailable().empty(); now = keeper.due_ms()) {
        ASSERT_LT(now, 20'000);
        EXPECT_EQ(keeper.next(now), LeaseAction::read);
        keeper.on_absent(now);
        EXPECT_FALSE(is_open(now));
        EXPECT_EQ(keeper.next(now), LeaseAction::create);
        keeper.on_unavailable("forbidden", false, now);
    }
    EXPECT_GE(now, 10'000);
}

TEST(Lease, RenewalKeepsWhatOthersHaveAndGuardsTheVersion) {
    Lease read = lease("them", "9", 3);
    read.body["metadata"]["labels"] = {{"a", "b"}};
    read.body["spec"]["leaseTransitions"] = 2;
    const auto request = renew_lease_request(read, {"us", 15, "7/2/0/20/0", 4, "prod", "now"});
    EXPECT_EQ(request.method + " " + request.path, "PUT /apis/coordination.k8s.io/v1/namespaces/default/leases/l");
    const json body = json::parse(request.body);
    EXPECT_EQ(body["metadata"]["resourceVersion"], "9");
    EXPECT_EQ(body["metadata"]["labels"], json({{"a", "b"}}));
    EXPECT_EQ(body["metadata"]["annotations"],
              json({{"dbnet.io/position", "7/2/0/20/0"}, {"dbnet.io/term", "4"}, {"dbnet.io/server", "prod"}}));
    EXPECT_EQ(body["spec"], json({{"holderIdentity", "us"},
                                  {"leaseDurationSeconds", 15},
                                  {"renewTime", "now"},
                                  {"acquireTime", "now"},
                                  {"leaseTransitions", 3}}));
}

TEST(Lease, WhatIsNoLeaseIsRefused) {
    for (const char *text :
         {"", "[]", "{}", R"({"kind": "Lease"})", R"({"kind": "Pod", "metadata": {"resourceVersion": "1"}})"})
        EXPECT_THROW(kubernetes::parse_lease(text), kubernetes::Failure) << text;
    const Lease empty =
        kubernetes::parse_lease(R"({"kind": "Lease", "metadata": {"resourceVersion": "1"}, "spec": 5})");
    EXPECT_EQ(empty.holder, "");
    EXPECT_EQ(empty.term, 0);
}

} // namespace dbnet::bgworker
