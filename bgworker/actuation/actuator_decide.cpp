// What becomes of one object: what its row, its record and what was asked for lead to (see actuator.hpp). Mirror
// worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>

#include "mirror/decision/merge.hpp"
#include "mirror/decision/own_history.hpp"
#include "mirror/decision/scope.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

using mirror::Action;
using mirror::Phase;

namespace {

constexpr int64_t obstacle_look_ms = 10'000; // the end of a drain touches the object: this is for what was missed

std::string joined(const std::string &message, const std::string &hint) {
    return hint.empty() ? message : message + (message.ends_with('.') ? " " : ". ") + hint;
}

// What a copy of this database has written since the two parted is not put back unasked: here may be the backup.
// A commit that came afterwards is somebody's word.
std::string copy_reason(const Entry &entry, const std::optional<mirror::ObjectRecord> &object) {
    if (entry.cause.transaction != 0 || !object || object->stamp.empty() ||
        (mirror::is_own_stamp(object->stamp) && !mirror::is_event_of_copy(object->stamp)))
        return {};
    return "the object was last written by a copy of this database (stamp " + object->stamp +
           "): this one may be older, for example restored from a backup";
}

// A row that was deleted and inserted again while its object stayed begins without what was reported into the old one.
std::set<std::string> missing_paths(const mirror::Mapping &mapping, const mirror::RowFields &row,
                                    const mirror::Fields &base) {
    std::set<std::string> paths;
    for (const mirror::Column &column : mapping.columns)
        if (column.role != mirror::Role::key && base.contains(column.path) && !row.values.contains(column.path))
            paths.insert(column.path);
    return paths;
}

// Who changed what is to be put back; of several the one that changed the first field.
std::string rival_of(const mirror::ObjectRecord &object, const mirror::Decision &decision) {
    for (const std::string &path : decision.changed)
        if (const auto other = object.others.find(path); other != object.others.end())
            return other->second;
    return "an unknown manager";
}

std::string fight_text(const std::string &rival, const mirror::Decision &decision) {
    std::string paths;
    for (const std::string &path : decision.changed)
        paths += (paths.empty() ? "" : ", ") + path;
    return rival + " keeps changing " + paths;
}

} // namespace

mirror::HoldLimits hold_limits() {
    return {settings::hold_objects, settings::hold_minimum, settings::hold_percent};
}

void Actuator::decide_one(Entry &entry, const mirror::Mirror &mirror, const mirror::StoredObject &stored,
                          const mirror::RowFields *row, const DeleteObstacle *obstacle, int64_t now_ms) {
    std::optional<mirror::ObjectRecord> object = stored.object;
    const bool is_listed = mirror.is_offline || client_.has_listed(mirror.relation);
    const bool gone = object && !entry.gone_uid.empty() && object->uid == entry.gone_uid;
    if (gone)
        object->is_gone = true;
    // A row that was deleted and inserted again is a user's word, whatever was reported in between.
    if (row && object && !stored.tombstone && mirror::is_import_under_way(mirror.mapping, *object)) {
        outcomes_.push_back(
            {entry.key, is_listed ? Outcome::Kind::retry : Outcome::Kind::settled, {}, {}, 0, is_listed});
        return;
    }

    mirror::Situation situation;
    situation.mapping = &mirror.mapping;
    situation.settings = &mirror.settings;
    situation.name = entry.key.name;
    situation.row = row;
    situation.object = object ? &*object : nullptr;
    situation.tombstone = stored.tombstone ? &*stored.tombstone : nullptr;
    situation.releases = &stored.releases;
    situation.adopted = &stored.adopted;
    const mirror::Hold &hold = row ? stored.apply_hold : stored.delete_hold;
    const bool is_later_commit = entry.cause.transaction != 0 && entry.cause.transaction != hold.transaction &&
                                 entry.cause.transaction != hold.decided_in;
    situation.hold = hold.decision;
    if (is_later_commit && hold.decision == mirror::HoldDecision::approved)
        situation.hold = mirror::HoldDecision::none; // what was approved is another transaction's
    entry.rejected = row ? stored.rejected : nullptr;
    situation.rejected = entry.rejected.get();
    situation.replaced = entry.replaced;
    mirror::Decision decision = mirror::decide(situation);
    // Another value was written since: what it is part of is counted by the minute, for the extent is the rejection's.
    if (situation.hold == mirror::HoldDecision::rejected && decision.action == Action::update)
        entry.extent = nullptr;
    // Back from another phase without a call: whether somebody else has changed something only the live object tells.
    if (decision.action == Action::nothing && decision.phase == Phase::synced && object && object->live.is_null() &&
        object->phase != Phase::synced && object->phase != Phase::none) {
        if (std::optional<mirror::ObjectRecord> whole = mirror::load_objects({&entry.key, 1}, true).front().object)
            object->live = std::move(whole->live);
        decision = mirror::decide(situation);
    }
    if (!object &&
        (stored.release_id > 0 || stored.adoption_id > 0 || stored.expectation_id > 0 || stored.restoration_id > 0) &&
        decision.action == Action::nothing)
        decision.action = Action::forget; // nothing is left that could be released, adopted, restored or of a version

    mirror::ObjectWrite write;
    write.key = entry.key;
    write.field_manager = mirror.field_manager;
    write.phase = decision.phase;
    write.message = joined(decision.message, decision.hint);
    if (decision.phase == Phase::drifted && object && mirror::has_left_selector(mirror.settings, object->live))
        write.reason = mirror::left_selector;
    write.transaction = entry.cause.transaction;
    write.commit_lsn = entry.cause.lsn;
    write.committer = entry.cause.committer;
    if (gone)
        write.gone_uid = object->uid;
    const bool is_kept = decision.action != Action::create && decision.action != Action::restore; // the object, the row
    if (row && object && stored.tombstone && is_listed && is_kept)
        write.missing = missing_paths(mirror.mapping, *row, object->base);
    const std::set<std::string> missing = write.missing;
    const bool has_hold = stored.apply_hold.decision != mirror::HoldDecision::none ||
                          stored.delete_hold.decision != mirror::HoldDecision::none;
    const auto conclude = [&](Outcome::Kind kind, bool is_worth_writing) {
        outcomes_.push_back(
            {entry.key, kind, {}, {}, 0, !missing.empty(), announce_decided(entry, stored.object, write, !row)});
        if (is_worth_writing || !missing.empty())
            writes_.push_back(std::move(write));
    };

    const bool replaces = decision.action == Action::update && !entry.immutable.empty();
    mirror::Fields rehearsed;
    if (replaces) { // the update was refused
        if (const char *obstacle = mirror::replacement_obstacle(mirror.settings, *object)) {
            write.phase = Phase::invalid;
            write.message = joined(entry.immutable, std::string("It is not made anew: ") + obstacle + '.');
            write.reason = "Immutable";
            return conclude(Outcome::Kind::stopped, true);
        }
        const std::string uid = object->uid;
        for (auto &[path, value] : decision.fields)
            if (mirror.mapping.by_path(path)->subresource.empty())
                rehearsed.emplace(path, std::move(value));
        decision = {};
        decision.action = Action::remove;
        decision.uid = uid;
        write.phase = Phase::deleting;
        write.message = joined(entry.immutable, "The object is deleted and made anew.");
    }

    const std::string reason = closed_reason(mirror);
    const bool is_open = reason.empty() && is_listed;
    const bool acts = decision.action == Action::create || decision.action == Action::update ||
                      decision.action == Action::release || decision.action == Action::remove;
    std::string rival;
    if (decision.only_reverts && decision.action == Action::update && entry.cause.transaction == 0) {
        rival = rival_of(*object, decision);
        if (object->phase == Phase::fighting)
            fights_.resume(entry.key, rival, object->reverts, now_ms);
        const int64_t wait_ms = fights_.wait_ms(entry.key, rival, now_ms);
        if (wait_ms > 0 && is_open) {
            write.phase = Phase::fighting;
            const std::string fight = fight_text(rival, decision);
            write.attempts = fights_.reverts(entry.key);
            write.message =
                fight + ": put back " + std::to_string(write.attempts) + " times, and from now on less often";
            write.next_attempt_ms = wait_ms;
            std::optional<Announcement> told = announce_decided(entry, stored.object, write, !row);
            if (told) // in the same words each time: the Event counts them
                told->what = fight + ": it is put back less often from now on";
            outcomes_.push_back(
                {entry.key, Outcome::Kind::postponed, {}, write.message, wait_ms, false, std::move(told)});
            if (entry.recorded != write.message)
                writes_.push_back(std::move(write));
            return;
        }
    }
    if (decision.action == Action::remove && obstacle && obstacle->will_pass) {
        write.phase = Phase::deleting;
        write.message = obstacle->text;
        outcomes_.push_back({entry.key, Outcome::Kind::postponed, {}, write.message, obstacle_look_ms});
        if (entry.recorded != write.message)
            writes_.push_back(std::move(write));
        return;
    }
    // What an offline server is not sent is held all the same: whoever tests a policy wants to see that.
    const bool is_change = decision.action == Action::update || decision.action == Action::remove;
    const bool is_continued = entry.continued_lsn != 0 && entry.continued_lsn == entry.cause.lsn;
    if (is_change && (is_open || mirror.is_offline) && situation.hold != mirror::HoldDecision::approved &&
        !is_continued) {
        std::string doubt = copy_reason(entry, object);
        if (doubt.empty() && decision.action == Action::remove && obstacle)
            doubt = obstacle->text;
        if (doubt.empty())
            doubt = mass_reason(entry, mirror, decision.action == Action::remove, now_ms);
        if (!doubt.empty()) {
            decision.action = Action::hold;
            write.phase = Phase::held;
            write.message = joined(doubt, "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
            decision.message = std::move(doubt);
            if (entry.extent && entry.extent->size() > 1)
                held_extents_.insert(entry.extent);
        }
    }
    // What would be held by itself takes the place of what waits: an approval lets go what dbnet.held shows.
    bool is_held_anew = decision.action == Action::hold && situation.hold != mirror::HoldDecision::waiting;
    if (decision.action == Action::hold && !is_held_anew && is_later_commit) {
        if (std::string doubt = extent_reason(entry, mirror, !row, now_ms); !doubt.empty()) {
            is_held_anew = true;
            write.message = joined(doubt, "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
            decision.message = std::move(doubt);
            if (entry.extent->size() > 1)
                held_extents_.insert(entry.extent);
        }
    }
    if (acts && !is_open && decision.action != Action::hold) {
        // The mirror is compared as a whole when it may go on. What the transaction does after this waits, deletions
        // above all: a row that has moved to a closed mirror keeps its object where it was. An offline one never goes
        // on.
        write.phase = Phase::pending;
        write.message = reason.empty() ? "waits until the mirror's objects have been listed" : reason;
        write.reason = mirror.is_offline ? "Offline" : "";
        return conclude(mirror.is_offline ? Outcome::Kind::settled : Outcome::Kind::stopped, true);
    }
    if (!is_listed)
        return conclude(Outcome::Kind::settled, false);

    switch (decision.action) {
    case Action::nothing: {
        const Phase before = stored.object ? stored.object->phase : Phase::none;
        if (!mirror.settings.manage && !gone)
            write.phase = stored.object && !stored.object->claimed.empty() ? Phase::synced : Phase::none;
        write.settles_hold = has_hold;
        if (mirror.settings.manage) { // all that was to be adopted is owned already
            write.adoption_id = stored.adoption_id;
            write.adopted = stored.is_object_adopted;
            write.restoration_id = stored.restoration_id;
            if (decision.phase == Phase::synced)
                write.expectation_id = stored.expectation_id;
        }
        const bool is_replaced = object && object->replacement == mirror::Replacement::under_way;
        if (is_replaced)
            write.replacing = ""; // the row is as it was again
        // Deleted and inserted again with all as it was.
        if (row && stored.tombstone && mirror.settings.manage && decision.phase != Phase::absent)
            write.tombstone_id = stored.tombstone_id;
        const bool changes = mirror::is_waiting(before) || before == Phase::conflict || before == Phase::invalid ||
                             before == Phase::denied || before == Phase::stale || before == Phase::held;
        // The watcher has recorded that an observed object is gone.
        return conclude(Outcome::Kind::settled, (gone && mirror.settings.manage) || has_hold ||
                                                    write.tombstone_id > 0 || write.adoption_id > 0 ||
                                                    write.expectation_id > 0 || write.restoration_id > 0 ||
                                                    is_replaced || changes);
    }
    case Action::refuse:
        return conclude(Outcome::Kind::stopped, true);
    case Action::wait:
        return conclude(Outcome::Kind::stopped, true);
    case Action::hold:
        if (is_held_anew)
            holds_.push_back({entry.key, row ? "apply" : "delete", entry.cause.transaction, decision.message});
        return conclude(Outcome::Kind::stopped, true);
    case Action::restore:
        entry.extent = nullptr; // what is written from now on counts by itself
        // The rejection stays on record until the row is seen to be as it was.
        return conclude(Outcome::Kind::restore, false);
    case Action::forget:
        write.forget = true;
        write.tombstone_id = stored.tombstone_id;
        write.release_id = stored.release_id;
        write.adoption_id = stored.adoption_id;
        write.restoration_id = stored.restoration_id;
        write.expectation_id = stored.expectation_id;
        write.settles_hold = true;
        writes_.push_back(std::move(write));
        outcomes_.push_back({entry.key, Outcome::Kind::forgotten, {}, object ? object->uid : std::string(), 0});
        return;
    case Action::create:
        if (stored.expectation_id > 0) { // an apply would make the object, whatever the version
            write.phase = Phase::stale;
            write.message = "there is no object any more that could have version " + stored.expected_version;
            return conclude(Outcome::Kind::stopped, true);
        }
        break;
    case Action::update:
    case Action::release:
    case Action::remove:
        break;
    }

    if (decision.action != Action::release && sets_outdated(mirror, decision.fields)) {
        // As above: the mirror is compared when its schema is another.
        write.phase = Phase::pending;
        write.message = "the kind's schema has changed: dbnet.mirror_status says what the server refuses";
        write.reason = "SchemaChanged";
        return conclude(Outcome::Kind::stopped, true);
    }

    mirror::ActsAs acts_as = mirror::acts_as(*mirror.committers, entry.cause.committer);
    if (acts_as.is_refused) {
        write.phase = Phase::denied;
        write.message = mirror::refusal_of_role(mirror::role_name(entry.cause.committer), mirror.server);
        write.reason = mirror::role_not_mapped;
        return conclude(Outcome::Kind::stopped, true);
    }

    Plan plan;
    plan.acts_as = std::move(acts_as.user);
    plan.lane = lane_name(mirror);
    plan.bytes = stored.bytes + (row ? row->bytes : 0);
    decided_bytes_ += plan.bytes;
    plan.field_manager = mirror.field_manager;
    plan.generation = mirror.generation;
    if (object && decision.action == Action::update)
        plan.first_written = object->first_written;
    plan.tombstone_id = stored.tombstone_id;
    plan.release_id = stored.release_id;
    plan.adoption_id = stored.adoption_id;
    plan.restoration_id = stored.restoration_id;
    if (decision.action == Action::create)
        plan.restored = stored.last_body;
    plan.is_object_adopted = stored.is_object_adopted;
    plan.expectation_id = stored.expectation_id;
    plan.expected_version = stored.expected_version;
    plan.rival = std::move(rival);
    plan.has_hold = has_hold;
    plan.fresh =
        decision.action == Action::create && (!object || object->uid.empty() || stored.tombstone || entry.replaced);
    if (object && decision.action == Action::create && !plan.fresh)
        plan.first_written = object->first_written;
    if (object && !plan.fresh) {
        plan.base = std::move(object->base);
        for (const std::string &path : missing)
            plan.base.erase(path);
        plan.missing = missing;
    }
    if (gone)
        plan.gone_uid = stored.object->uid;
    plan.was_replacing = decision.action == Action::update && object->replacement != mirror::Replacement::none;
    plan.has_status = row && row->has_status;
    plan.cause = entry.cause;
    if (object)
        plan.stamp = object->stamp;
    if (decision.action != Action::release)
        plan.part = mirror::take_first_part(mirror.mapping, decision, object ? &*object : nullptr, entry.refused);
    if (plan.part.is_empty) { // the others are done
        write.phase = entry.refusal.phase;
        write.message = entry.refusal.message;
        write.reason = entry.refusal.reason;
        return conclude(Outcome::Kind::stopped, true);
    }
    plan.decision = std::move(decision);
    if (replaces) { // on disk before it is sent: the end of the object is not to be taken for an external delete
        plan.replaces = true;
        plan.rehearsed = std::move(rehearsed);
        write.replacing = plan.decision.uid;
        writes_.push_back(std::move(write));
    }
    outcomes_.push_back({entry.key, Outcome::Kind::prepared, std::move(plan), {}, 0});
}

bool Actuator::sets_outdated(const mirror::Mirror &mirror, const mirror::Fields &fields) const {
    const auto known = outdated_.find(mirror.relation);
    return known != outdated_.end() &&
           std::ranges::any_of(known->second.paths, [&](const std::string &path) { return fields.contains(path); });
}

int64_t Actuator::total_of(uint32_t relation, int64_t now_ms) {
    Total &total = totals_[relation];
    if (total.counted_ms == 0 || now_ms - total.counted_ms > 10'000)
        total = {mirror::count_objects(relation), now_ms};
    return total.count;
}

// Between two counts the number is kept up: a share of what was there before would hold too little or too much.
void Actuator::note_total(uint32_t relation, int change) {
    const auto total = totals_.find(relation);
    if (total != totals_.end())
        total->second.count += change;
}

// Why a transaction (or compare) is held as a whole; empty: it is not.
std::string Actuator::extent_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (!entry.extent)
        return {};
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    const auto &counts = remove ? entry.extent->removes : entry.extent->updates;
    const auto found = counts.find(mirror.relation);
    const int64_t changed = found == counts.end() ? 0 : found->second;
    const int64_t total = changed >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    const std::string who =
        entry.extent->is_compare ? "a compare" : "transaction " + std::to_string(entry.cause.transaction);
    return mirror::mass_change_reason(who, change, changed, total, limits);
}

std::string Actuator::mass_reason(const Entry &entry, const mirror::Mirror &mirror, bool remove, int64_t now_ms) {
    if (std::string reason = extent_reason(entry, mirror, remove, now_ms); !reason.empty())
        return reason;
    const mirror::HoldLimits limits = hold_limits();
    const auto change = remove ? mirror::ChangeClass::remove : mirror::ChangeClass::update;
    mirror::MassChangeGate &gate = gates_[mirror.relation];
    const int64_t total = gate.counted(change) + 1 >= limits.minimum ? total_of(mirror.relation, now_ms) : 0;
    if (!gate.admit(change, entry.key.text(), total, limits, now_ms))
        return std::string("one more object in a minute that ") + (remove ? "deletes" : "updates") + " too many" +
               mirror::limits_text(limits);
    return {};
}

} // namespace dbnet::bgworker
