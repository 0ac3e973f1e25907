// The reflector's turns: which request follows which answer, and when.
#include "bgworker/watch/watcher_reflector.hpp"

#include <gtest/gtest.h>

#include <algorithm>

using dbnet::bgworker::Reflector;
using dbnet::bgworker::ReflectorLimits;
using dbnet::kubernetes::Outcome;
using ReflectorAction = Reflector::Action;
using Page = Reflector::Page;
using State = Reflector::State;

namespace {

Outcome failure(Outcome::Kind kind, int status = 500, int retry_after_ms = -1) {
    Outcome outcome;
    outcome.kind = kind;
    outcome.status = status;
    outcome.message = "the server's words";
    outcome.retry_after_ms = retry_after_ms;
    return outcome;
}

class ReflectorTest : public testing::Test {
protected:
    Reflector make(std::string known_version = "") {
        return Reflector(
            ReflectorLimits{}, [] { return 0.0; }, std::move(known_version));
    }

    // Starts what is due now.
    Reflector::Command start(ReflectorAction expected) {
        Reflector::Command command = reflector.next(now);
        EXPECT_EQ(static_cast<int>(command.action), static_cast<int>(expected));
        if (command.action == ReflectorAction::watch)
            reflector.on_watch_started(400'000, now);
        return command;
    }

    // Nothing is due for `delay` ms, then something is.
    void expect_delay(int64_t delay) {
        EXPECT_EQ(reflector.due(), now + delay);
        now += delay - 1;
        start(ReflectorAction::none);
        now += 1;
    }

    void listed(const std::string &version, size_t items = 1) {
        start(ReflectorAction::list);
        EXPECT_EQ(static_cast<int>(reflector.on_page(version, "", items, -1)), static_cast<int>(Page::last));
    }

    void watching(const std::string &version = "100") {
        listed(version);
        start(ReflectorAction::watch);
    }

    int64_t now = 1'000'000;
    Reflector reflector = make();
};

TEST_F(ReflectorTest, ListsInPagesFromTheStoreThenWatchesFromTheListsVersion) {
    Reflector::Command command = start(ReflectorAction::list);
    EXPECT_EQ(command.resource_version, "");
    EXPECT_EQ(command.limit, 500);
    EXPECT_EQ(command.continue_token, "");
    start(ReflectorAction::none); // one request at a time
    EXPECT_EQ(reflector.on_page("100", "t1", 500, 501), Page::more);
    EXPECT_EQ(reflector.expected(), 1001);
    EXPECT_FALSE(reflector.has_listed());
    command = start(ReflectorAction::list);
    EXPECT_EQ(command.continue_token, "t1");
    EXPECT_EQ(command.resource_version, "") << "the server refuses a version beside a token";
    EXPECT_EQ(reflector.on_page("100", "t2", 0, -1), Page::more) << "an empty page is not the last one";
    start(ReflectorAction::list);
    EXPECT_EQ(reflector.on_page("100", "", 501, -1), Page::last);
    EXPECT_EQ(reflector.listed(), 1001);
    EXPECT_TRUE(reflector.has_listed());
    EXPECT_EQ(reflector.state(), State::synced);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "100");
}

TEST_F(ReflectorTest, ExpiredTokenRestartsTheWholeListAndThenAsksForOneAnswer) {
    for (int expected_limit : {500, 500, 0}) {
        EXPECT_EQ(start(ReflectorAction::list).limit, expected_limit);
        EXPECT_EQ(reflector.on_page("100", "t1", 500, -1), Page::more);
        EXPECT_EQ(start(ReflectorAction::list).continue_token, "t1");
        reflector.on_list_failure(failure(Outcome::gone, 410), now);
        EXPECT_EQ(reflector.listed(), 0);
    }
}

TEST_F(ReflectorTest, PagesOfDifferentVersionsAreNotOneList) {
    start(ReflectorAction::list);
    reflector.on_page("100", "t1", 500, -1);
    start(ReflectorAction::list);
    EXPECT_EQ(reflector.on_page("101", "", 3, -1), Page::restart);
    EXPECT_EQ(start(ReflectorAction::list).continue_token, "");
    EXPECT_FALSE(reflector.has_listed());
}

TEST_F(ReflectorTest, FailedPageIsAskedForAgain) {
    start(ReflectorAction::list);
    reflector.on_page("100", "t1", 500, -1);
    start(ReflectorAction::list);
    reflector.on_list_failure(failure(Outcome::unavailable, 0), now);
    EXPECT_EQ(reflector.state(), State::degraded);
    expect_delay(800);
    EXPECT_EQ(start(ReflectorAction::list).continue_token, "t1");
}

// The store was restored while its pages were read, or the token is none of this server's.
TEST_F(ReflectorTest, TokenThatTheServerDoesNotKnowIsNotAskedWithAgain) {
    for (Outcome::Kind kind : {Outcome::future_version, Outcome::invalid}) {
        reflector = make();
        start(ReflectorAction::list);
        reflector.on_page("500", "t1", 500, -1);
        start(ReflectorAction::list);
        reflector.on_list_failure(failure(kind, 500), now);
        EXPECT_EQ(reflector.state(), State::degraded);
        EXPECT_EQ(reflector.message(), "the server's words");
        expect_delay(800);
        const Reflector::Command command = start(ReflectorAction::list);
        EXPECT_EQ(command.continue_token, "");
        EXPECT_EQ(command.resource_version, "");
        EXPECT_EQ(command.limit, 500);
        EXPECT_EQ(reflector.listed(), 0) << "what came before does not count";
        EXPECT_EQ(reflector.on_page("300", "", 2, -1), Page::last);
        EXPECT_TRUE(reflector.has_listed());
    }
}

TEST_F(ReflectorTest, DeniedListIsDegradedWithTheServersWordsAndBacksOffToThirtySeconds) {
    for (int64_t delay : {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000}) {
        start(ReflectorAction::list);
        reflector.on_list_failure(failure(Outcome::denied, 403), now);
        EXPECT_EQ(reflector.state(), State::degraded);
        EXPECT_EQ(reflector.message(), "the server's words");
        EXPECT_FALSE(reflector.has_listed());
        expect_delay(delay);
    }
    listed("100");
    EXPECT_EQ(reflector.state(), State::synced);
    EXPECT_EQ(reflector.message(), "");
}

TEST_F(ReflectorTest, JitterIsUpToTheDelayItself) {
    Reflector jittered(
        ReflectorLimits{}, [] { return 0.5; }, "");
    jittered.next(now);
    jittered.on_list_failure(failure(Outcome::retry, 429, 100), now);
    EXPECT_EQ(jittered.due(), now + 1200);
    jittered.next(now + 1200);
    jittered.on_list_failure(failure(Outcome::retry, 429, 9000), now);
    EXPECT_EQ(jittered.due(), now + 9000) << "the server asked for more than the backoff";
}

TEST_F(ReflectorTest, ServersTimeoutMeansWatchOnAtOnce) {
    watching("100");
    reflector.on_event("117");
    now += 400'000;
    reflector.on_watch_end(true, "", now);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "117");
}

TEST_F(ReflectorTest, EndBeforeTheAskedLengthIsProbedBecauseAnotherServerMayAnswer) {
    watching("100");
    reflector.on_event("117");
    now += 20'000;
    reflector.on_watch_end(true, "", now);
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "117", now);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "117");
}

TEST_F(ReflectorTest, EmptyShortWatchesBackOff) {
    watching();
    now += 300;
    reflector.on_watch_end(true, "", now);
    expect_delay(800);
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "100", now);
    start(ReflectorAction::watch);
    now += 300;
    reflector.on_watch_end(true, "", now);
    expect_delay(1600);
}

TEST_F(ReflectorTest, TooOldVersionListsNotOlderThanTheLastVersion) {
    watching("100");
    reflector.on_event("150");
    now += 60'000;
    reflector.on_watch_failure(failure(Outcome::gone, 410), now);
    EXPECT_EQ(reflector.state(), State::synced) << "normal after a change of a custom resource's schema";
    Reflector::Command command = start(ReflectorAction::list);
    EXPECT_EQ(command.resource_version, "150");
    EXPECT_EQ(command.limit, 0) << "with a limit the version would be an exact one";
    EXPECT_EQ(reflector.on_page("160", "", 3, -1), Page::last);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "160");
}

TEST_F(ReflectorTest, OnlyWhenThatFailsTooTheStoreIsAsked) {
    for (Outcome::Kind kind : {Outcome::gone, Outcome::future_version}) {
        reflector = make();
        watching("100");
        reflector.on_event("150");
        reflector.on_watch_failure(failure(Outcome::gone, 410), now + 60'000);
        now += 60'000;
        EXPECT_EQ(start(ReflectorAction::list).resource_version, "150");
        reflector.on_list_failure(failure(kind, 410), now);
        Reflector::Command command = start(ReflectorAction::list);
        EXPECT_EQ(command.resource_version, "");
        EXPECT_EQ(command.limit, 500);
    }
}

TEST_F(ReflectorTest, BigMirrorIsAlwaysListedInPages) {
    start(ReflectorAction::list);
    reflector.on_page("100", "", 5001, -1);
    start(ReflectorAction::watch);
    reflector.on_watch_failure(failure(Outcome::gone, 410), now);
    EXPECT_EQ(start(ReflectorAction::list).limit, 500);
}

TEST_F(ReflectorTest, ServerThatAlwaysSaysTooOldIsNotAskedInALoop) {
    watching();
    reflector.on_watch_failure(failure(Outcome::gone, 410), now);
    listed("101");
    start(ReflectorAction::watch);
    reflector.on_watch_failure(failure(Outcome::gone, 410), now);
    EXPECT_GT(reflector.due(), now);
}

// A quiet watch that was cut off goes on where it was, and that may have been compacted meanwhile.
TEST_F(ReflectorTest, TooOldVersionAfterABriefWatchIsListedAtOnce) {
    watching("100");
    now += 10'000;
    reflector.on_watch_end(true, "", now);
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "133", now);
    start(ReflectorAction::watch);
    reflector.on_watch_end(true, "", now);
    now = reflector.due();
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "170", now);
    start(ReflectorAction::watch);
    reflector.on_watch_failure(failure(Outcome::gone, 410), now);
    EXPECT_EQ(start(ReflectorAction::list).resource_version, "100");
}

TEST_F(ReflectorTest, OverloadedServerIsAskedForTheSameWatchAgain) {
    watching("100");
    reflector.on_watch_failure(failure(Outcome::retry, 429), now);
    expect_delay(800);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "100");
}

TEST_F(ReflectorTest, DisconnectIsFollowedByAProbe) {
    watching("100");
    reflector.on_event("120");
    now += 10'000;
    reflector.on_watch_end(false, "Connection reset by peer", now);
    EXPECT_EQ(reflector.state(), State::degraded);
    EXPECT_EQ(reflector.message(), "Connection reset by peer");
    expect_delay(800);
    start(ReflectorAction::probe);
    reflector.on_probe(failure(Outcome::unavailable, 0), "", now);
    expect_delay(1600);
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "133", now);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "120");
    reflector.on_event("121");
    EXPECT_EQ(reflector.state(), State::synced);
}

TEST_F(ReflectorTest, RestoredStoreIsListedAgainAtOnce) {
    watching("5000");
    now += 10'000;
    reflector.on_watch_end(false, "gone", now);
    now = reflector.due();
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "299", now);
    EXPECT_EQ(start(ReflectorAction::list).resource_version, "");
    reflector.on_page("300", "", 2, -1);
    EXPECT_TRUE(reflector.is_rewound());
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "300");
}

TEST_F(ReflectorTest, VersionsWithoutOrderAreTakenForKnown) {
    watching("5000");
    reflector.on_watch_end(false, "gone", now);
    now = reflector.due();
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome{}, "a-7", now);
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "5000");
}

TEST_F(ReflectorTest, StoreThatWasRestoredWhileNobodyWatchedIsNoticedByItsFirstList) {
    reflector = make("5000");
    listed("300");
    EXPECT_TRUE(reflector.is_rewound());
    reflector = make("300");
    listed("5000");
    EXPECT_FALSE(reflector.is_rewound());
    reflector = make("opaque-b");
    listed("opaque-a");
    EXPECT_FALSE(reflector.is_rewound()) << "opaque versions do not order";
}

TEST_F(ReflectorTest, MissingKindIsListedAgainAndNeverTakenForEmpty) {
    watching("100");
    reflector.on_watch_failure(failure(Outcome::kind_missing, 404), now);
    EXPECT_EQ(reflector.state(), State::degraded);
    expect_delay(800);
    EXPECT_EQ(start(ReflectorAction::list).resource_version, "");
    reflector.on_list_failure(failure(Outcome::kind_missing, 404), now);
    EXPECT_EQ(reflector.state(), State::degraded);
    EXPECT_TRUE(reflector.has_listed()) << "what was listed before stays";
}

TEST_F(ReflectorTest, KindThatAProbeDoesNotFindIsListedAgain) {
    watching("100");
    reflector.on_watch_end(false, "reset", now);
    now = reflector.due();
    start(ReflectorAction::probe);
    reflector.on_probe(failure(Outcome::kind_missing, 404), "", now);
    EXPECT_TRUE(reflector.is_kind_missing());
    expect_delay(1600);
    EXPECT_EQ(start(ReflectorAction::list).resource_version, "") << "no watch goes on from what was there before";
    reflector.on_page("130", "", 0, -1);
    EXPECT_FALSE(reflector.is_kind_missing());
    EXPECT_EQ(start(ReflectorAction::watch).resource_version, "130");
}

TEST_F(ReflectorTest, QuietWatchThatIsNotRefusedIsTakenForAccepted) {
    watching();
    reflector.on_watch_failure(failure(Outcome::denied, 403), now);
    now = reflector.due();
    start(ReflectorAction::watch);
    EXPECT_EQ(reflector.state(), State::degraded);
    EXPECT_EQ(reflector.due(), now + 3000);
    now += 3000;
    start(ReflectorAction::none);
    EXPECT_EQ(reflector.state(), State::synced);
    EXPECT_EQ(reflector.due(), -1);
}

TEST_F(ReflectorTest, LongHealthyWatchResetsTheBackoff) {
    watching();
    for (int i = 0; i < 5; i++) {
        reflector.on_watch_failure(failure(Outcome::retry, 503), now);
        now = reflector.due();
        start(ReflectorAction::watch);
    }
    now += 120'000;
    reflector.on_watch_end(false, "reset", now);
    expect_delay(800);
}

TEST_F(ReflectorTest, ResyncListsFromTheStoreAtOnce) {
    watching("100");
    reflector.resync();
    EXPECT_EQ(start(ReflectorAction::list).resource_version, "");
}

} // namespace

TEST_F(ReflectorTest, AnUnreachableServerIsTriedEveryFewSeconds) {
    watching();
    Outcome unreachable = failure(Outcome::unavailable, 0);
    unreachable.reason = "ConnectionFailed";
    reflector.on_watch_failure(unreachable, now);
    for (const int64_t delay : {800, 1600, 3200, 5000, 5000, 5000}) {
        expect_delay(delay);
        start(ReflectorAction::probe);
        reflector.on_probe(unreachable, "", now);
    }
    expect_delay(5000);
    start(ReflectorAction::probe);
    reflector.on_probe(failure(Outcome::retry, 503), "", now);
    expect_delay(30'000); // it answers, and wants to be left alone
}

TEST_F(ReflectorTest, CountsWhatTheServerAnswered) {
    watching();
    const unsigned before = reflector.answers();
    reflector.on_watch_failure(failure(Outcome::unavailable, 0), now);
    now += 100'000;
    start(ReflectorAction::probe);
    reflector.on_probe(failure(Outcome::unavailable, 0), "", now);
    EXPECT_EQ(reflector.answers(), before);
    now += 100'000;
    start(ReflectorAction::probe);
    reflector.on_probe(Outcome(), "opaque", now);
    EXPECT_EQ(reflector.answers(), before + 1);
}
