// The decision about one object, case by case.
#include "mirror/decision/intent.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;

namespace {

// A mirror of an imaginary kind with two spec fields, labels and a status, and one object in the state to be judged.
class Intent : public testing::Test {
protected:
    Intent() {
        add("name", "metadata.name", Role::key, ValueType::string);
        add("replicas", "spec.replicas", Role::spec, ValueType::integer);
        add("paused", "spec.paused", Role::spec, ValueType::boolean);
        add("labels", "metadata.labels", Role::meta, ValueType::json);
        add("ready", "status.ready", Role::status, ValueType::string);
        settings.kind = "Thing";
        settings.manage = true;
    }

    void add(const char *name, const char *path, Role role, ValueType type) {
        Column column;
        column.name = name;
        column.path = path;
        column.field = dbnet::kubernetes::FieldPath::parse(path);
        column.role = role;
        column.type = type;
        mapping.columns.push_back(column);
    }

    // An object that was imported: row, base and live agree, nothing is claimed.
    void observed() {
        object.emplace();
        object->uid = "u1";
        object->live = Json::parse(R"({"metadata":{"uid":"u1","labels":{"a":"1"}},"spec":{"replicas":2}})");
        object->base = {{"spec.replicas", 2}, {"metadata.labels", {{"a", "1"}}}};
        row.emplace();
        row->values = object->base;
    }

    // An object of ours, at rest.
    void synced() {
        observed();
        object->phase = Phase::synced;
        object->created_by_us = true;
        object->claimed = {"spec.replicas"};
        object->first_written = {"spec.replicas"};
        object->applied = {{"spec.replicas", 2}};
    }

    Decision decided() {
        Situation situation;
        situation.mapping = &mapping;
        situation.settings = &settings;
        situation.name = name;
        situation.row = row ? &*row : nullptr;
        situation.object = object ? &*object : nullptr;
        situation.tombstone = tombstone ? &*tombstone : nullptr;
        situation.releases = &releases;
        situation.adopted = &adopted;
        situation.hold = hold;
        situation.rejected = rejected;
        situation.replaced = replaced;
        return decide(situation);
    }

    Mapping mapping;
    MirrorSettings settings;
    std::string name = "n";
    std::optional<RowFields> row;
    std::optional<ObjectRecord> object;
    std::optional<TombstoneRecord> tombstone;
    Fields releases;
    std::set<std::string> adopted;
    HoldDecision hold = HoldDecision::none;
    const RowDigest *rejected = nullptr;
    bool replaced = false;
};

using Paths = std::vector<std::string>;

} // namespace

TEST_F(Intent, NewRowCreatesWithAllItsValues) {
    row.emplace();
    row->values = {{"spec.replicas", 3}, {"spec.paused", false}};
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::create);
    EXPECT_EQ(decision.phase, Phase::applying);
    EXPECT_EQ(decision.fields, row->values);
    EXPECT_EQ(decision.changed, (Paths{"spec.paused", "spec.replicas"}));
    EXPECT_EQ(decision.uid, "");
}

TEST_F(Intent, NameThatMeansSomethingElseInAPathIsNeverSent) {
    for (const auto &[bad, words] : {std::pair{"", "name may not be empty"},
                                     {".", "may not be '.'"},
                                     {"..", "may not be '..'"},
                                     {"a/../b", "may not contain '/'"},
                                     {"a%2fb", "may not contain '%'"}}) {
        name = bad;
        tombstone.reset();
        row.emplace();
        EXPECT_EQ(decided().action, Action::refuse) << bad;
        EXPECT_EQ(decided().message, "metadata.name: Invalid value: \"" + name + "\": " + words);
        row.reset();
        tombstone.emplace();
        EXPECT_EQ(decided().action, Action::forget) << bad;
    }
}

TEST_F(Intent, RowWithNothingButAKeyCreatesToo) {
    row.emplace();
    EXPECT_EQ(decided().action, Action::create);
    EXPECT_TRUE(decided().fields.empty());
}

TEST_F(Intent, ObservedObjectNeedsNothing) {
    observed();
    EXPECT_EQ(decided().action, Action::nothing);
}

TEST_F(Intent, ChangedFieldIsClaimedAndAppliedAlone) {
    observed();
    row->values["spec.replicas"] = 5;
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::update);
    EXPECT_EQ(decision.uid, "u1");
    EXPECT_EQ(decision.fields, (Fields{{"spec.replicas", 5}}));
    EXPECT_EQ(decision.changed, Paths{"spec.replicas"});
    EXPECT_FALSE(decision.enforce);
}

TEST_F(Intent, ClaimedFieldsAreSentInFull) {
    synced();
    row->values["metadata.labels"] = {{"a", "2"}};
    const Decision decision = decided();
    EXPECT_EQ(decision.fields, (Fields{{"spec.replicas", 2}, {"metadata.labels", {{"a", "2"}}}}));
    EXPECT_EQ(decision.changed, Paths{"metadata.labels"});
}

TEST_F(Intent, EchoIsNothing) {
    synced();
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::nothing);
    EXPECT_EQ(decision.phase, Phase::synced);
}

TEST_F(Intent, RowSetBackBeforeItWasAcceptedIsNothing) {
    observed();
    object->phase = Phase::conflict; // of an attempt with another value
    object->first_written = {"spec.replicas"};
    EXPECT_EQ(decided().action, Action::nothing);
    EXPECT_EQ(decided().phase, Phase::synced);
}

TEST_F(Intent, ObserveModeNeverActs) {
    settings.manage = false;
    observed();
    row->values["spec.replicas"] = 5;
    EXPECT_EQ(decided().action, Action::nothing);
    object.reset();
    EXPECT_EQ(decided().action, Action::nothing);
    row->errors.push_back({"replicas", "spec.replicas", "bad", ""});
    EXPECT_EQ(decided().action, Action::nothing);
    row.reset();
    observed();
    row.reset();
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::nothing);
}

TEST_F(Intent, NullOfAClaimedFieldIsRefused) {
    synced();
    row->values.erase("spec.replicas");
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::refuse);
    EXPECT_EQ(decision.phase, Phase::invalid);
    EXPECT_EQ(decision.message,
              "column \"replicas\" (spec.replicas) is NULL, but DBNet owns this field: sending the object without it "
              "would delete the field or reset it to the server's default");
    EXPECT_EQ(decision.hint,
              "Set a value, or let go of the field with dbnet.release(relation, key, '{\"replicas\"}').");
}

TEST_F(Intent, NullOfAFieldNobodyClaimedIsNoOpinion) {
    observed();
    row->values.erase("spec.replicas");
    EXPECT_EQ(decided().action, Action::nothing);
}

TEST_F(Intent, BadValueIsRefusedWithItsColumn) {
    observed();
    row->errors.push_back(
        {"replicas", "spec.replicas", "column \"replicas\" (spec.replicas): 1.5 is not a whole number", "hint"});
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::refuse);
    EXPECT_EQ(decision.phase, Phase::invalid);
    EXPECT_EQ(decision.message, row->errors[0].message);
    EXPECT_EQ(decision.hint, "hint");
}

TEST_F(Intent, ObjectDeletedByOthersIsNotMadeAgain) {
    synced();
    object->phase = Phase::absent;
    object->live = nullptr;
    EXPECT_EQ(decided().action, Action::nothing);
    EXPECT_EQ(decided().phase, Phase::absent);
    row->values["spec.replicas"] = 7; // not even by a new commit
    EXPECT_EQ(decided().action, Action::nothing);
}

TEST_F(Intent, ObjectDeletedByOthersIsMadeAgainWhenAskedFor) {
    synced();
    object->phase = Phase::absent;
    settings.on_external_delete = OnExternalDelete::recreate;
    object->created_by_us = false;
    EXPECT_EQ(decided().action, Action::nothing) << "of what others have made, a part is known";
    object->created_by_us = true;
    EXPECT_EQ(decided().action, Action::create);
    EXPECT_EQ(decided().fields, (Fields{{"spec.replicas", 2}})); // what was claimed; the rest was others'
    EXPECT_EQ(decided().uid, "");
    object->controlled = true;
    EXPECT_EQ(decided().action, Action::nothing);
}

TEST_F(Intent, RowInsertedAnewCreatesAfterAnExternalDelete) {
    synced();
    object->phase = Phase::absent;
    replaced = true;
    EXPECT_EQ(decided().action, Action::create);
    EXPECT_EQ(decided().fields, row->values);
    replaced = false;
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::create);
}

TEST_F(Intent, DeletedRowRemovesTheObjectByItsUid) {
    synced();
    row.reset();
    EXPECT_EQ(decided().action, Action::nothing) << "an absent row alone deletes nothing";
    tombstone = {"u1"};
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::remove);
    EXPECT_EQ(decision.phase, Phase::deleting);
    EXPECT_EQ(decision.uid, "u1");
}

TEST_F(Intent, TombstoneWithoutUidTakesTheRecordsOrLooksFirst) {
    synced();
    row.reset();
    tombstone = {""};
    EXPECT_EQ(decided().uid, "u1");
    object.reset();
    EXPECT_EQ(decided().action, Action::remove);
    EXPECT_EQ(decided().uid, "");
}

TEST_F(Intent, TombstoneOfAnotherIncarnationGivesTheRowBack) {
    synced();
    row.reset();
    tombstone = {"u0"};
    object->created_by_us = false;
    EXPECT_EQ(decided().action, Action::restore);
}

TEST_F(Intent, TombstoneOfAGoneObjectIsForgotten) {
    synced();
    object->phase = Phase::absent;
    row.reset();
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::forget);
    tombstone.reset();
    EXPECT_EQ(decided().action, Action::forget);
}

// A create that failed since has left another phase.
TEST_F(Intent, WhatIsGoneStaysGone) {
    synced();
    object->phase = Phase::pending;
    object->is_gone = true;
    settings.on_external_delete = OnExternalDelete::recreate;
    EXPECT_EQ(decided().action, Action::create);
    settings.on_external_delete = {};
    EXPECT_EQ(decided().phase, Phase::absent);
    replaced = true;
    EXPECT_EQ(decided().action, Action::create);
    replaced = false;
    object->live["metadata"]["deletionTimestamp"] = "2026-11-23T08:44:46Z";
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::create) << "its last words were that it would go";
    row.reset();
    EXPECT_EQ(decided().action, Action::forget);
}

TEST_F(Intent, TerminatingObjectIsWaitedFor) {
    synced();
    object->live["metadata"]["deletionTimestamp"] = "2026-11-23T08:44:46Z";
    row->values["spec.replicas"] = 9;
    EXPECT_EQ(decided().action, Action::wait);
    EXPECT_EQ(decided().phase, Phase::waiting_deleted);
    tombstone = {"u1"}; // deleted and inserted again
    EXPECT_EQ(decided().action, Action::wait);
    row.reset();
    EXPECT_EQ(decided().action, Action::wait);
    EXPECT_EQ(decided().phase, Phase::waiting_deleted);
}

TEST_F(Intent, ReplacedRowOfALivingObjectUpdatesItAndGivesUpWhatItLeavesOut) {
    synced();
    tombstone = {"u1"};
    row->values = {{"spec.paused", true}};
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::update);
    EXPECT_EQ(decision.fields, (Fields{{"spec.paused", true}}));
}

TEST_F(Intent, ForeignObjectsAreDeletedOnlyWithApproval) {
    observed();
    row.reset();
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::hold);
    EXPECT_EQ(decided().phase, Phase::held);
    EXPECT_EQ(decided().message, "the object was not created by DBNet");
    hold = HoldDecision::approved;
    EXPECT_EQ(decided().action, Action::remove);
    hold = HoldDecision::rejected;
    EXPECT_EQ(decided().action, Action::restore);
    hold = HoldDecision::none;
    settings.delete_foreign = true;
    EXPECT_EQ(decided().action, Action::remove);
}

// The row came back while its object was deleted, and went before that was recorded: what is recorded since, if
// anything, is of a row without an object. Of a foreign object it is not known that it is gone.
TEST_F(Intent, WhereNoObjectIsOnRecordTheTombstoneSaysWhoMadeIts) {
    synced();
    row.reset();
    for (const bool has_record : {false, true}) {
        object.reset();
        if (has_record)
            object.emplace().phase = Phase::pending;
        tombstone = {"u1", true};
        EXPECT_EQ(decided().action, Action::remove);
        EXPECT_EQ(decided().uid, "u1") << "as the precondition: another one stays";
        tombstone = {"u1", false};
        EXPECT_EQ(decided().action, Action::hold);
        EXPECT_EQ(decided().message, "the object was not created by DBNet");
    }
}

// Deleted on the server and made anew by us, while the row was deleted.
TEST_F(Intent, AnObjectMadeAnewGoesWithItsRow) {
    synced();
    row.reset();
    tombstone = {"u0"};
    object->created_by_us = true;
    EXPECT_EQ(decided().action, Action::remove);
    EXPECT_EQ(decided().uid, "u1") << "the one that is there";
}

TEST_F(Intent, WhatWasNeverSeenAtTheServerNeedsNoApproval) {
    object.emplace(); // of a row that the server refused
    object->phase = Phase::invalid;
    tombstone = {""};
    EXPECT_EQ(decided().action, Action::remove);
    EXPECT_EQ(decided().uid, "");
}

TEST_F(Intent, RejectionIsOverOnceTheRowIsAsItWas) {
    synced();
    hold = HoldDecision::rejected;
    EXPECT_EQ(decided().action, Action::nothing);
    EXPECT_EQ(decided().phase, Phase::synced);
}

TEST_F(Intent, DangerousKindsAreDeletedOnlyWithApproval) {
    synced();
    row.reset();
    tombstone = {"u1"};
    settings.kind = "Namespace";
    settings.delete_foreign = true;
    EXPECT_EQ(decided().action, Action::hold);
    settings.group = "example.com"; // a Namespace of somebody else's API
    EXPECT_EQ(decided().action, Action::remove);
}

TEST_F(Intent, HeldUpdateWaitsForItsDecision) {
    synced();
    row->values["spec.replicas"] = 9;
    hold = HoldDecision::waiting;
    EXPECT_EQ(decided().action, Action::hold);
    hold = HoldDecision::approved;
    EXPECT_EQ(decided().action, Action::update);
    hold = HoldDecision::rejected;
    EXPECT_EQ(decided().action, Action::restore);
}

TEST_F(Intent, WhatIsWrittenAfterARejectionIsSentOnceTheRestIsBack) {
    synced();
    hold = HoldDecision::rejected;
    row->values["spec.replicas"] = 9;
    const RowDigest digest(RowDigest(mapping, *row, "key").hashes(), "key"); // as the database keeps it
    rejected = &digest;
    EXPECT_EQ(decided().action, Action::restore);
    row->values["metadata.labels"] = {{"a", "2"}};
    EXPECT_EQ(decided().action, Action::restore) << "the rejected value is still there";
    row->values["spec.replicas"] = 2;
    EXPECT_EQ(decided().action, Action::update);
    EXPECT_EQ(decided().changed, Paths{"metadata.labels"});
    row->values["spec.replicas"] = 7;
    EXPECT_EQ(decided().action, Action::update) << "another value is another word";
}

TEST_F(Intent, DriftIsReportedEnforcedOrFollowed) {
    synced();
    object->live["spec"]["replicas"] = 4;
    EXPECT_EQ(decided().action, Action::nothing);
    EXPECT_EQ(decided().phase, Phase::drifted);
    EXPECT_EQ(decided().message, "somebody else changed spec.replicas");
    settings.on_drift = OnDrift::follow;
    EXPECT_EQ(decided().phase, Phase::synced);
    settings.on_drift = OnDrift::enforce;
    EXPECT_EQ(decided().action, Action::update);
    EXPECT_TRUE(decided().enforce);
    EXPECT_EQ(decided().fields, (Fields{{"spec.replicas", 2}}));
    object->controlled = true;
    EXPECT_EQ(decided().action, Action::nothing);
    EXPECT_EQ(decided().phase, Phase::drifted);
    object->controlled = false;
    mapping.columns[1].on_drift = OnDrift::report; // the column's own rule goes first
    EXPECT_EQ(decided().phase, Phase::drifted);
}

TEST_F(Intent, OnlyWhatOthersChangedIsPutBack) {
    synced();
    settings.on_drift = OnDrift::enforce;
    object->live["spec"]["replicas"] = 4;
    EXPECT_TRUE(decided().only_reverts);
    row->values["spec.paused"] = true;
    EXPECT_EQ(decided().changed, (std::vector<std::string>{"spec.paused", "spec.replicas"}));
    EXPECT_FALSE(decided().only_reverts) << "a user's word besides";
}

TEST_F(Intent, ReleaseGoesFirst) {
    synced();
    row->values.erase("spec.replicas");
    EXPECT_EQ(decided().phase, Phase::invalid);
    EXPECT_EQ(decided().hint,
              "Set a value, or let go of the field with dbnet.release(relation, key, '{\"replicas\"}').");
    row->values["spec.paused"] = true;
    releases = {{"spec.replicas", nullptr}};
    EXPECT_EQ(decided().action, Action::release);
    EXPECT_EQ(decided().phase, Phase::applying);
    EXPECT_EQ(decided().uid, "u1");
    EXPECT_EQ(decided().changed, std::vector<std::string>{"spec.replicas"});
    EXPECT_EQ(decided().fields, releases) << "what the row held is no claim";
    hold = HoldDecision::waiting;
    EXPECT_EQ(decided().action, Action::release) << "a held change of a value has nothing to do with it";
    settings.manage = false;
    EXPECT_EQ(decided().action, Action::nothing) << "observe sends nothing";
    settings.manage = true;
    object->live["metadata"]["deletionTimestamp"] = "2026-11-24T00:00:00Z";
    EXPECT_EQ(decided().action, Action::wait);
    object->live = nullptr;
    object->phase = Phase::absent;
    EXPECT_EQ(decided().action, Action::nothing) << "there is nothing to let go of";
}

TEST_F(Intent, ReleaseOfAnUnsentValueGivesItUp) {
    synced();
    row->values["spec.replicas"] = 7; // refused by a conflict
    releases = {{"spec.replicas", 7}};
    EXPECT_EQ(decided().action, Action::release);
    EXPECT_EQ(decided().fields, releases);
    releases = {{"spec.unmapped", 1}};
    EXPECT_EQ(decided().action, Action::update) << "a column that is mapped no more";
}

TEST_F(Intent, AdoptedFieldIsClaimedAsItIs) {
    observed();
    adopted = {"spec.replicas"};
    const Decision decision = decided();
    EXPECT_EQ(decision.action, Action::update);
    EXPECT_EQ(decision.fields, (Fields{{"spec.replicas", 2}}));
    EXPECT_EQ(decision.changed, Paths{"spec.replicas"});
    EXPECT_EQ(decision.adopted, adopted);
    EXPECT_FALSE(decision.only_reverts);
}

TEST_F(Intent, WhatIsOwnedAlreadyIsAdoptedByNothing) {
    synced();
    adopted = {"spec.replicas", "spec.paused"}; // the latter has no value
    EXPECT_EQ(decided().action, Action::nothing);
    object->phase = Phase::drifted;
    EXPECT_EQ(decided().changed, Paths{"spec.replicas"});
}

TEST_F(Intent, SeedIsGivenUpWhenAnotherManagerOwnsTheField) {
    synced();
    settings.on_drift = OnDrift::seed;
    EXPECT_EQ(decided().phase, Phase::synced);
    object->shared = {"spec.replicas", "spec.paused"};
    EXPECT_EQ(decided().action, Action::release);
    EXPECT_EQ(decided().fields, (Fields{{"spec.replicas", 2}})) << "claimed fields alone";
    row->values["spec.replicas"] = 3;
    EXPECT_EQ(decided().action, Action::update) << "the user's word goes before that";
    row->values["spec.replicas"] = 2;
    mapping.columns[1].on_drift = OnDrift::report;
    EXPECT_EQ(decided().action, Action::nothing);
    mapping.columns[1].on_drift.reset();
    object->shared.clear();
    object->live["spec"]["replicas"] = 4;
    EXPECT_EQ(decided().phase, Phase::synced) << "somebody else's value is followed";
}

TEST_F(Intent, ClaimsAreByContent) {
    observed();
    EXPECT_TRUE(claims(mapping, *row, &*object).empty());
    row->values["spec.paused"] = false; // NULL before: somebody said something
    EXPECT_EQ(claims(mapping, *row, &*object), std::set<std::string>{"spec.paused"});
    EXPECT_EQ(claims(mapping, *row, nullptr),
              (std::set<std::string>{"metadata.labels", "spec.paused", "spec.replicas"}));
}

// By the rules of the schema; what was accepted once, or is not ours to send, is not judged.
TEST_F(Intent, ValuesThatTheServerWouldNotTakeAreNotSent) {
    mapping.columns[1].rules = ValueRules::parse(R"({"type": "int32", "maximum": 10})");
    synced();
    row->values["spec.replicas"] = 11;
    Decision decision = decided();
    EXPECT_EQ(decision.action, Action::refuse);
    EXPECT_EQ(decision.phase, Phase::invalid);
    EXPECT_EQ(decision.message, "column \"replicas\" (spec.replicas): 11 is too large");
    EXPECT_EQ(decision.hint, "It must be at most 10.");
    hold = HoldDecision::rejected;
    EXPECT_EQ(decided().action, Action::restore) << "a way back stays open";
    hold = HoldDecision::none;

    row->values["spec.replicas"] = 10;
    EXPECT_EQ(decided().action, Action::update);
    row->values["spec.replicas"] = object->applied["spec.replicas"] = 11;
    row->values["spec.paused"] = true;
    EXPECT_EQ(decided().action, Action::update) << "the server has taken it: the rules are older than the server";

    object.reset();
    EXPECT_EQ(decided().action, Action::refuse) << "a new object has never been taken";
}

TEST_F(Intent, MayForceOnlyFirstWritesAgainstManagersNobodyRespects) {
    const std::vector<std::string> respected = {"argocd-controller", "helm"};
    const std::set<std::string> written = {"spec.paused"};
    ConflictQuestion question;
    question.paths = {"spec.replicas"};
    question.managers = {"kubectl"};
    question.first_written = &written;
    EXPECT_TRUE(may_force(question, respected));
    question.paths.insert("spec.paused");
    EXPECT_FALSE(may_force(question, respected)) << "one of the fields was written before";
    question.enforce = true;
    EXPECT_TRUE(may_force(question, respected));
    question.forced_already = true;
    EXPECT_FALSE(may_force(question, respected)) << "once";
    question = {{"spec.replicas"}, {"kubectl", "helm"}, nullptr, false, false};
    EXPECT_FALSE(may_force(question, respected)) << "one of the owners is respected";
    question = {{}, {"kubectl"}, nullptr, false, false};
    EXPECT_FALSE(may_force(question, respected)) << "the fields are not known";
    question = {{"spec.replicas"}, {}, nullptr, false, false};
    EXPECT_FALSE(may_force(question, respected)) << "the owner is not known";
    question = {{}, {}, nullptr, false, false, true};
    EXPECT_TRUE(may_force(question, respected)) << "nothing but what is adopted";
    question.paths = {"spec.replicas"};
    question.managers = {"helm"};
    EXPECT_FALSE(may_force(question, respected)) << "something else as well";
}

TEST_F(Intent, FindsTheColumnOfAServersField) {
    using dbnet::kubernetes::FieldPath;
    add("image", "spec.containers[name=app].image", Role::spec, ValueType::string);
    add("app", R"(metadata.labels["app.kubernetes.io/name"])", Role::meta, ValueType::string);
    const auto name_of = [&](const char *field) {
        const Column *column = column_of_field(mapping, FieldPath::from_server(field));
        return column ? column->name : "";
    };
    EXPECT_EQ(name_of(".spec.replicas"), "replicas");
    EXPECT_EQ(name_of("spec.replicas"), "replicas");
    EXPECT_EQ(name_of(R"(.spec.containers[name="app"].image)"), "image");
    EXPECT_EQ(name_of(R"(.spec.containers[name="other"].image)"), "");
    EXPECT_EQ(name_of(".metadata.labels.a"), "labels");
    EXPECT_EQ(name_of(".metadata.labels.app.kubernetes.io/name"), "app") << "the most exact column";
    EXPECT_EQ(name_of("spec.selector"), "");
    EXPECT_EQ(name_of(""), "");
}

TEST_F(Intent, KnowsControllers) {
    EXPECT_FALSE(is_controlled(Json::parse(R"({"metadata":{}})")));
    EXPECT_FALSE(is_controlled(Json::parse(R"({"metadata":{"ownerReferences":[{"uid":"x"}]}})")));
    EXPECT_TRUE(is_controlled(Json::parse(R"({"metadata":{"ownerReferences":[{"uid":"x"},{"controller":true}]}})")));
    EXPECT_FALSE(is_controlled(Json::parse("[]")));
}

TEST_F(Intent, PhasesHaveNamesAndOneGroupEach) {
    for (int number = static_cast<int>(Phase::none); number <= static_cast<int>(Phase::report_failed); number++) {
        const Phase phase = static_cast<Phase>(number);
        EXPECT_FALSE(is_waiting(phase) && needs_user(phase)) << to_text(phase);
        if (phase != Phase::none) {
            EXPECT_EQ(parse_phase(to_text(phase)), phase);
        }
    }
    EXPECT_EQ(parse_phase(""), std::nullopt);
}

// Requests of a decision whose columns go through subresources, in their order.
TEST_F(Intent, SubresourcesAreSentOneByOneAfterTheObject) {
    add("phase", "status.phase", Role::spec, ValueType::string);
    mapping.columns.back().subresource = "status";
    mapping.columns[1].subresource = "scale";
    row.emplace();
    row->values = {{"spec.replicas", 3}, {"spec.paused", true}, {"status.phase", "New"}};
    Decision create = decided();
    ASSERT_EQ(create.action, Action::create);
    EXPECT_EQ(parts_of(mapping, create), (std::vector<std::string>{"", "status", "scale"}));
    Part part = take_first_part(mapping, create, nullptr);
    EXPECT_EQ(part.subresource, "");
    EXPECT_EQ(part.fields, (Fields{{"spec.paused", true}}));
    EXPECT_EQ(part.kept, Fields());
    EXPECT_TRUE(part.others_follow);

    object.emplace();
    object->uid = "u1";
    object->live = Json::parse(R"({"metadata":{"uid":"u1"},"spec":{"paused":true}})");
    for (const char *subresource : {"status", "scale"}) {
        for (const auto &[path, value] : part.fields) {
            object->claimed.insert(path);
            object->applied[path] = object->base[path] = value;
        }
        Decision update = decided();
        ASSERT_EQ(update.action, Action::update);
        EXPECT_EQ(parts_of(mapping, update).front(), subresource);
        const Fields before = object->applied;
        part = take_first_part(mapping, update, &*object);
        EXPECT_EQ(part.subresource, subresource);
        EXPECT_EQ(part.kept, before);
        EXPECT_EQ(part.claimed, (std::set<std::string>{"spec.paused", "spec.replicas", "status.phase"}));
        EXPECT_EQ(part.others_follow, part.subresource == "status");
    }
    EXPECT_EQ(part.fields, (Fields{{"spec.replicas", 3}}));

    // What is refused holds up no other part.
    object->applied = {{"spec.paused", true}};
    Decision update = decided();
    part = take_first_part(mapping, update, &*object, {"status"});
    EXPECT_EQ(part.subresource, "scale");
    EXPECT_FALSE(part.others_follow);
    update = decided();
    EXPECT_TRUE(take_first_part(mapping, update, &*object, {"status", "scale"}).is_empty);
}

TEST_F(Intent, WithoutSubresourcesAllFieldsGoAtOnce) {
    row.emplace();
    row->values = {{"spec.replicas", 3}, {"spec.paused", true}};
    Decision create = decided();
    const Part part = take_first_part(mapping, create, nullptr);
    EXPECT_EQ(part.subresource, "");
    EXPECT_EQ(part.fields, row->values);
    EXPECT_FALSE(part.others_follow);
}

TEST_F(Intent, WhatIsToBeMadeAnewIsMadeOnceItIsGone) {
    synced();
    row->values["spec.replicas"] = 3;
    object->replacement = Replacement::under_way;
    EXPECT_EQ(decided().action, Action::update) << "it is still there, and perhaps the change can be made now";
    object->phase = Phase::absent;
    EXPECT_EQ(decided().action, Action::create) << "its end is no external delete";
    object->phase = Phase::pending;
    object->replacement = Replacement::gone;
    EXPECT_EQ(decided().action, Action::create);
    EXPECT_EQ(decided().fields, (Fields{{"spec.replicas", 3}})) << "what is claimed; the rest was others'";
    row.reset();
    tombstone = {"u1"};
    EXPECT_EQ(decided().action, Action::forget) << "the row went meanwhile";
}

TEST_F(Intent, WhatIsNotMadeAnew) {
    synced();
    EXPECT_EQ(replacement_obstacle(settings, *object), nullptr);
    object->controlled = true;
    EXPECT_STREQ(replacement_obstacle(settings, *object), "a controller looks after the object");
    object->created_by_us = false;
    EXPECT_STREQ(replacement_obstacle(settings, *object), "the object was not created by DBNet");
    synced();
    settings.kind = "Namespace";
    EXPECT_STREQ(replacement_obstacle(settings, *object),
                 "deleting an object of this kind takes other objects or data with it");
}
