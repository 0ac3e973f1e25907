// Answers of the server to verdicts, with the recorded kinds of refusal.
#include "bgworker/actuation/actuator_answer.hpp"

#include <gtest/gtest.h>

using namespace dbnet::bgworker;
using dbnet::kubernetes::Outcome;
using dbnet::mirror::Phase;
using Next = Verdict::Next;

namespace {

class ActuatorAnswer : public testing::Test {
protected:
    ActuatorAnswer() {
        dbnet::mirror::Column column;
        column.name = "data";
        column.path = "data";
        column.field = dbnet::kubernetes::FieldPath::parse("data");
        mapping.columns.push_back(column);
        outcome.message = "the server's words";
    }

    Verdict judged(Outcome::Kind kind) {
        outcome.kind = kind;
        return judge(outcome, attempt, mapping, {"helm"}, 0.5);
    }

    Outcome outcome;
    Attempt attempt;
    dbnet::mirror::Mapping mapping;
};

} // namespace

TEST_F(ActuatorAnswer, ReleaseThatSomebodyOvertookIsTriedAgain) {
    attempt.update = attempt.release = true;
    EXPECT_EQ(judged(Outcome::stale).next, Next::again);
    EXPECT_EQ(judged(Outcome::stale).phase, Phase::pending);
    EXPECT_EQ(judged(Outcome::denied).next, Next::stop);
}

TEST_F(ActuatorAnswer, WhoMayNotActAsTheCommitterIsToldTheRule) {
    EXPECT_EQ(told(judged(Outcome::denied)), "the server's words");
    outcome.reason = "Forbidden";
    outcome.message =
        R"(users "bob" is forbidden: User "dbnet" cannot impersonate resource "users" in API group "" at the cluster scope)";
    const Verdict refused = judged(Outcome::denied);
    EXPECT_EQ(refused.next, Next::stop);
    EXPECT_EQ(refused.phase, Phase::denied);
    EXPECT_EQ(refused.reason, "ImpersonationRefused");
    EXPECT_EQ(refused.message, outcome.message) << "the log of calls has the server's words alone";
    EXPECT_EQ(
        told(refused),
        outcome.message +
            R"(. The credentials need the RBAC rule {apiGroups: [""], resources: ["users"], resourceNames: ["bob"], verbs: ["impersonate"]}, which dbnet.rbac() prints.)");
}

TEST_F(ActuatorAnswer, KindsOfAnApply) {
    const std::tuple<Outcome::Kind, Next, Phase, bool> cases[] = {
        {Outcome::ok, Next::accepted, Phase::synced, false},
        {Outcome::invalid, Next::stop, Phase::invalid, false},
        {Outcome::too_large, Next::stop, Phase::invalid, false},
        {Outcome::denied, Next::stop, Phase::denied, false},
        {Outcome::stale, Next::stop, Phase::stale, false},
        {Outcome::being_deleted, Next::await, Phase::waiting_deleted, false},
        {Outcome::uid_mismatch, Next::again, Phase::uncertain, false},
        {Outcome::ambiguous, Next::again, Phase::uncertain, false},
        {Outcome::not_found, Next::again, Phase::pending, false},
        {Outcome::namespace_missing, Next::again, Phase::pending, false},
        {Outcome::namespace_terminating, Next::again, Phase::pending, false},
        {Outcome::kind_missing, Next::again, Phase::pending, false},
        {Outcome::schema_500, Next::again, Phase::pending, false},
        {Outcome::retry, Next::again, Phase::pending, false},
        {Outcome::unavailable, Next::again, Phase::pending, true},
        {Outcome::unauthorized, Next::again, Phase::pending, true},
    };
    for (const auto &[kind, next, phase, server_wide] : cases) {
        const Verdict verdict = judged(kind);
        EXPECT_EQ(verdict.next, next) << dbnet::kubernetes::name(kind);
        EXPECT_EQ(verdict.phase, phase) << dbnet::kubernetes::name(kind);
        EXPECT_EQ(verdict.server_wide, server_wide) << dbnet::kubernetes::name(kind);
        EXPECT_EQ(verdict.message, "the server's words");
    }
}

TEST_F(ActuatorAnswer, ADeleteOfWhatIsNotThereIsDone) {
    attempt.remove = true;
    for (const Outcome::Kind kind : {Outcome::not_found, Outcome::uid_mismatch, Outcome::namespace_missing})
        EXPECT_EQ(judged(kind).next, Next::gone) << dbnet::kubernetes::name(kind);
    EXPECT_EQ(judged(Outcome::retry).phase, Phase::deleting);
}

TEST_F(ActuatorAnswer, SurroundingsThatAreMissingAreAskedForOften) {
    attempt.number = 20;
    for (const Outcome::Kind kind : {Outcome::namespace_missing, Outcome::namespace_terminating, Outcome::kind_missing})
        EXPECT_EQ(judged(kind).delay_ms, 15'000) << dbnet::kubernetes::name(kind);
    EXPECT_GT(judged(Outcome::retry).delay_ms, 40'000);
}

TEST_F(ActuatorAnswer, AFieldThatTheSchemaHasNoMoreIsTheMirrorsTrouble) {
    attempt.schema_failures = 4;
    attempt.paths = {"data"};
    outcome.message =
        "failed to create typed patch object (a/b; v1, Kind=ConfigMap): .data: field not declared in schema";
    outcome.causes = {{"", "data", "", "field not declared in schema"}};
    const Verdict gone = judged(Outcome::schema_500);
    EXPECT_EQ(gone.next, Next::stop);
    EXPECT_EQ(gone.phase, Phase::pending);
    EXPECT_EQ(gone.reason, "SchemaChanged");
    EXPECT_EQ(gone.outdated, std::set<std::string>{"data"});

    outcome.causes = {{"", "data.a", "", "field not declared in schema"}};
    EXPECT_EQ(judged(Outcome::schema_500).phase, Phase::invalid) << "what lies below is the row's own word";
    outcome.causes = {{"", "data.a", "", "expected string, got &value.valueUnstructured{Value:5}"}};
    EXPECT_TRUE(judged(Outcome::schema_500).outdated.empty()) << "nobody knows what the field took";
    mapping.columns[0].rules = dbnet::mirror::ValueRules::parse(R"({"type": "object", "values": "int64"})");
    EXPECT_EQ(judged(Outcome::schema_500).outdated, std::set<std::string>{"data"}) << "its rules let the value pass";
    outcome.message = "failed to create manager for existing fields: failed to convert new object (a/b; v1, "
                      "Kind=ConfigMap) to smd typed: .data.a: expected string";
    EXPECT_TRUE(judged(Outcome::schema_500).outdated.empty()) << "it is about what the object has";
    outcome.message = "failed to create typed patch object (a/b; v1, Kind=ConfigMap): .data.a: expected string";
    attempt.paths = {};
    EXPECT_TRUE(judged(Outcome::schema_500).outdated.empty()) << "it was not sent";
}

TEST_F(ActuatorAnswer, SchemaErrorsStopAfterFiveOfThem) {
    attempt.number = 20; // the others were refused for other reasons
    attempt.schema_failures = 3;
    EXPECT_EQ(judged(Outcome::schema_500).next, Next::again);
    attempt.schema_failures = 4;
    EXPECT_EQ(judged(Outcome::schema_500).next, Next::stop);
    EXPECT_EQ(judged(Outcome::schema_500).phase, Phase::invalid);
}

// The stamp of another mirror of DBNet, perhaps of one that was removed.
TEST_F(ActuatorAnswer, StampsAreTakenOverWithTheFirstWriteOnly) {
    attempt.paths = {"data"};
    // As the server names it, and as classify() hands it on.
    const auto stamp = dbnet::kubernetes::FieldPath::from_server(".metadata.annotations.dbnet.io/stamp").text();
    outcome.causes = {{"FieldManagerConflict", stamp, "dbnet-1", ""},
                      {"FieldManagerConflict", "data.a", "dbnet-1", ""}};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::force);
    outcome.causes.pop_back();
    EXPECT_EQ(judged(Outcome::conflict).next, Next::force) << "the values are the same";
    attempt.first_written = {"data"};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop) << "both are alive";
    attempt.enforce = true;
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop) << "two that enforce would never end";
    attempt = {};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop) << "nothing is sent";
}

TEST_F(ActuatorAnswer, ConflictsAreForcedOnceOnFirstWrites) {
    outcome.causes = {{"FieldManagerConflict", "data.a", "kubectl", ""}};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::force);
    attempt.forced = true;
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop);
    attempt.forced = false;
    attempt.first_written = {"data"};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop);
    attempt.enforce = true;
    EXPECT_EQ(judged(Outcome::conflict).next, Next::force);
    attempt = {};
    outcome.causes[0].manager = "helm";
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop);
    outcome.causes = {{"FieldManagerConflict", "spec.other", "kubectl", ""}};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop) << "a field that no column holds";
    EXPECT_EQ(judged(Outcome::conflict).phase, Phase::conflict);
    attempt.restoring_manager = "dbnet-5f-restore";
    outcome.causes = {{"FieldManagerConflict", "data.a", "dbnet-5f-restore", ""}};
    attempt.first_written = {"data"};
    EXPECT_EQ(judged(Outcome::conflict).next, Next::force) << "of the object as it was made again anything is ours";
    outcome.causes.push_back({"FieldManagerConflict", "data.b", "kubectl", ""});
    EXPECT_EQ(judged(Outcome::conflict).next, Next::stop) << "but not of others";
}

TEST_F(ActuatorAnswer, ServersMayAskForMoreTime) {
    outcome.status = 429;
    outcome.retry_after_ms = 90'000;
    const Verdict verdict = judged(Outcome::retry);
    EXPECT_EQ(verdict.delay_ms, 90'000);
    EXPECT_TRUE(verdict.overload);
    EXPECT_TRUE(verdict.server_wide);
}

TEST_F(ActuatorAnswer, BackoffDoublesUpToAMinute) {
    EXPECT_EQ(backoff_ms(1, 0.5), 200);
    EXPECT_EQ(backoff_ms(2, 0.5), 400);
    EXPECT_EQ(backoff_ms(9, 0.5), 51'200);
    EXPECT_EQ(backoff_ms(10, 0.5), 60'000);
    EXPECT_EQ(backoff_ms(1000, 0.5), 60'000);
    EXPECT_EQ(backoff_ms(1, 0), 150);
    EXPECT_LE(backoff_ms(1000, 0.999), 75'000);
}
