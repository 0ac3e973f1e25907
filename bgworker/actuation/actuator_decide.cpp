// What becomes of one object: what its row, its record and what was asked for lead to (see actuator.hpp). Mirror
// worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>

#include "mirror/decision/merge.hpp"
#include "mirror/decision/own_history.hpp"
#include "mirror/decision/scope.hpp"

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

// An object's case, in steps that follow one another: one that returns true has concluded it.
class Actuator::ObjectCase {
public:
    ObjectCase(Actuator &actuator, Entry &entry, const mirror::Mirror &mirror, const mirror::StoredObject &stored,
               const mirror::RowFields *row, const DeleteObstacle *obstacle, int64_t now_ms)
        : actuator_(actuator), entry_(entry), mirror_(mirror), stored_(stored), row_(row), obstacle_(obstacle),
          now_ms_(now_ms), object_(stored.object),
          is_listed_(mirror.is_offline || actuator.client_.has_listed(mirror.relation)),
          is_gone_(object_ && !entry.gone_uid.empty() && object_->uid == entry.gone_uid),
          has_hold_(stored.apply_hold.decision != mirror::HoldDecision::none ||
                    stored.delete_hold.decision != mirror::HoldDecision::none) {
        if (is_gone_)
            object_->is_gone = true;
    }

    void decide();

private:
    bool wait_for_import();
    void judge();
    void begin_write();
    bool refuse_or_replace();
    bool postpone_fight();
    bool wait_for_obstacle();
    void hold_doubtful();
    void hold_for(std::string &&doubt);
    bool wait_for_mirror();
    bool settle_without_request();
    bool settle();
    bool forget();
    bool stop_what_would_fail();
    bool take_part();
    void prepare();

    bool conclude(Outcome::Kind kind, bool is_worth_writing);
    bool stop(Phase phase, std::string message, std::string reason);
    bool postpone(int64_t delay_ms, std::optional<Announcement> told = {});

    bool is_open() const { return closed_reason_.empty() && is_listed_; }
    bool wants_request() const {
        return decision_.action == Action::create || decision_.action == Action::update ||
               decision_.action == Action::release || decision_.action == Action::remove;
    }

    Actuator &actuator_;
    Entry &entry_;
    const mirror::Mirror &mirror_;
    const mirror::StoredObject &stored_;
    const mirror::RowFields *const row_;   // nullptr: no such row
    const DeleteObstacle *const obstacle_; // nullptr: none
    const int64_t now_ms_;

    std::optional<mirror::ObjectRecord> object_; // the record, as far as it still tells of what is there
    const bool is_listed_;                       // the mirror's objects have been seen
    const bool is_gone_;                         // an event said that the recorded incarnation is
    const bool has_hold_;                        // held changes of the object are on record
    mirror::HoldDecision hold_ =
        mirror::HoldDecision::none; // of them; an approval of another transaction counts as none
    bool is_later_commit_ = false;  // than what is held
    bool is_held_anew_ = false;
    std::string closed_reason_; // why nothing may be sent for the mirror; empty: it may
    std::string rival_;         // see Plan::rival
    bool replaces_ = false;     // see Plan::replaces
    mirror::Fields rehearsed_;  // see Plan::rehearsed
    mirror::Decision decision_;
    mirror::Part part_;                                        // see Plan::part
    std::shared_ptr<const kubernetes::Impersonation> acts_as_; // see Plan::acts_as
    mirror::ObjectWrite write_;                                // of the record, should it change
};

void Actuator::decide_one(Entry &entry, const mirror::Mirror &mirror, const mirror::StoredObject &stored,
                          const mirror::RowFields *row, const DeleteObstacle *obstacle, int64_t now_ms) {
    ObjectCase(*this, entry, mirror, stored, row, obstacle, now_ms).decide();
}

void Actuator::ObjectCase::decide() {
    if (wait_for_import())
        return;
    judge();
    begin_write();
    if (refuse_or_replace())
        return;
    closed_reason_ = actuator_.closed_reason(mirror_);
    if (postpone_fight() || wait_for_obstacle())
        return;
    hold_doubtful();
    if (wait_for_mirror() || settle_without_request() || stop_what_would_fail() || take_part())
        return;
    prepare();
}

// Puts the outcome beside what is to be written of it, if that is worth a write of its own.
bool Actuator::ObjectCase::conclude(Outcome::Kind kind, bool is_worth_writing) {
    const bool has_missing = !write_.missing.empty();
    actuator_.outcomes_.push_back(
        {entry_.key, kind, {}, {}, 0, has_missing, actuator_.announce_decided(entry_, stored_.object, write_, !row_)});
    if (is_worth_writing || has_missing)
        actuator_.writes_.push_back(std::move(write_));
    return true;
}

bool Actuator::ObjectCase::stop(Phase phase, std::string message, std::string reason) {
    write_.phase = phase;
    write_.message = std::move(message);
    write_.reason = std::move(reason);
    return conclude(Outcome::Kind::stopped, true);
}

bool Actuator::ObjectCase::postpone(int64_t delay_ms, std::optional<Announcement> told) {
    actuator_.outcomes_.push_back(
        {entry_.key, Outcome::Kind::postponed, {}, write_.message, delay_ms, false, std::move(told)});
    if (entry_.recorded != write_.message)
        actuator_.writes_.push_back(std::move(write_));
    return true;
}

// A row that was deleted and inserted again is a user's word, whatever was reported in between.
bool Actuator::ObjectCase::wait_for_import() {
    if (!row_ || !object_ || stored_.tombstone || !mirror::is_import_under_way(mirror_.mapping, *object_))
        return false;
    actuator_.outcomes_.push_back(
        {entry_.key, is_listed_ ? Outcome::Kind::retry : Outcome::Kind::settled, {}, {}, 0, is_listed_});
    return true;
}

// What row, record and what was asked for lead to, were nothing in the way.
void Actuator::ObjectCase::judge() {
    const mirror::Hold &hold = row_ ? stored_.apply_hold : stored_.delete_hold;
    is_later_commit_ = entry_.cause.transaction != 0 && entry_.cause.transaction != hold.transaction &&
                       entry_.cause.transaction != hold.decided_in;
    hold_ = hold.decision;
    if (is_later_commit_ && hold_ == mirror::HoldDecision::approved)
        hold_ = mirror::HoldDecision::none; // what was approved is another transaction's
    entry_.rejected = row_ ? stored_.rejected : nullptr;

    mirror::Situation situation;
    situation.mapping = &mirror_.mapping;
    situation.settings = &mirror_.settings;
    situation.name = entry_.key.name;
    situation.row = row_;
    situation.object = object_ ? &*object_ : nullptr;
    situation.tombstone = stored_.tombstone ? &*stored_.tombstone : nullptr;
    situation.releases = &stored_.releases;
    situation.adopted = &stored_.adopted;
    situation.hold = hold_;
    situation.rejected = entry_.rejected.get();
    situation.replaced = entry_.replaced;
    decision_ = mirror::decide(situation);
    // Another value was written since: what it is part of is counted by the minute, for the extent is the rejection's.
    if (hold_ == mirror::HoldDecision::rejected && decision_.action == Action::update)
        entry_.extent = nullptr;
    // Back from another phase without a call: whether somebody else has changed something only the live object tells.
    if (decision_.action == Action::nothing && decision_.phase == Phase::synced && object_ && object_->live.is_null() &&
        object_->phase != Phase::synced && object_->phase != Phase::none) {
        if (std::optional<mirror::ObjectRecord> whole = mirror::load_objects({&entry_.key, 1}, true).front().object)
            object_->live = std::move(whole->live);
        decision_ = mirror::decide(situation);
    }
    const bool is_asked_for =
        stored_.release_id > 0 || stored_.adoption_id > 0 || stored_.expectation_id > 0 || stored_.restoration_id > 0;
    if (!object_ && is_asked_for && decision_.action == Action::nothing)
        decision_.action = Action::forget; // nothing is left that could be released, adopted, restored or of a version
}

void Actuator::ObjectCase::begin_write() {
    write_.key = entry_.key;
    write_.field_manager = mirror_.field_manager;
    write_.phase = decision_.phase;
    write_.message = joined(decision_.message, decision_.hint);
    if (decision_.phase == Phase::drifted && object_ && mirror::has_left_selector(mirror_.settings, object_->live))
        write_.reason = mirror::left_selector;
    write_.transaction = entry_.cause.transaction;
    write_.commit_lsn = entry_.cause.lsn;
    write_.committer = entry_.cause.committer;
    if (is_gone_)
        write_.gone_uid = object_->uid;
    const bool is_kept =
        decision_.action != Action::create && decision_.action != Action::restore; // the object, the row
    if (row_ && object_ && stored_.tombstone && is_listed_ && is_kept)
        write_.missing = missing_paths(mirror_.mapping, *row_, object_->base);
}

// An update that was refused for fields which are set once becomes a deletion, where the settings allow that.
bool Actuator::ObjectCase::refuse_or_replace() {
    replaces_ = decision_.action == Action::update && !entry_.immutable.empty();
    if (!replaces_)
        return false;
    if (const char *obstacle = mirror::replacement_obstacle(mirror_.settings, *object_))
        return stop(Phase::invalid, joined(entry_.immutable, std::string("It is not made anew: ") + obstacle + '.'),
                    "Immutable");
    for (auto &[path, value] : decision_.fields)
        if (mirror_.mapping.by_path(path)->subresource.empty())
            rehearsed_.emplace(path, std::move(value));
    decision_ = {};
    decision_.action = Action::remove;
    decision_.uid = object_->uid;
    write_.phase = Phase::deleting;
    write_.message = joined(entry_.immutable, "The object is deleted and made anew.");
    return false;
}

// What somebody else changes again and again is put back less often.
bool Actuator::ObjectCase::postpone_fight() {
    if (!decision_.only_reverts || decision_.action != Action::update || entry_.cause.transaction != 0)
        return false;
    rival_ = rival_of(*object_, decision_);
    if (object_->phase == Phase::fighting)
        actuator_.fights_.resume(entry_.key, rival_, object_->reverts, now_ms_);
    const int64_t wait_ms = actuator_.fights_.wait_ms(entry_.key, rival_, now_ms_);
    if (wait_ms <= 0 || !is_open())
        return false;
    const std::string fight = fight_text(rival_, decision_);
    write_.phase = Phase::fighting;
    write_.attempts = actuator_.fights_.reverts(entry_.key);
    write_.message = fight + ": put back " + std::to_string(write_.attempts) + " times, and from now on less often";
    write_.next_attempt_ms = wait_ms;
    std::optional<Announcement> told = actuator_.announce_decided(entry_, stored_.object, write_, !row_);
    if (told) // in the same words each time: the Event counts them
        told->what = fight + ": it is put back less often from now on";
    return postpone(wait_ms, std::move(told));
}

bool Actuator::ObjectCase::wait_for_obstacle() {
    if (decision_.action != Action::remove || !obstacle_ || !obstacle_->will_pass)
        return false;
    write_.phase = Phase::deleting;
    write_.message = obstacle_->text;
    return postpone(obstacle_look_ms);
}

// A change that is not made unasked: for what it would overwrite, for what keeps the object, or for how much changes.
void Actuator::ObjectCase::hold_doubtful() {
    // What an offline server is not sent is held all the same: whoever tests a policy wants to see that.
    const bool is_change = decision_.action == Action::update || decision_.action == Action::remove;
    const bool is_continued = entry_.continued_lsn != 0 && entry_.continued_lsn == entry_.cause.lsn;
    if (is_change && (is_open() || mirror_.is_offline) && hold_ != mirror::HoldDecision::approved && !is_continued) {
        const bool is_removal = decision_.action == Action::remove;
        std::string doubt = copy_reason(entry_, object_);
        if (doubt.empty() && is_removal && obstacle_)
            doubt = obstacle_->text;
        if (doubt.empty())
            doubt = actuator_.mass_reason(entry_, mirror_, is_removal, now_ms_);
        if (!doubt.empty()) {
            decision_.action = Action::hold;
            write_.phase = Phase::held;
            hold_for(std::move(doubt));
        }
    }
    if (decision_.action != Action::hold)
        return;
    is_held_anew_ = hold_ != mirror::HoldDecision::waiting;
    // What would be held by itself takes the place of what waits: an approval lets go what dbnet.held shows.
    if (is_held_anew_ || !is_later_commit_)
        return;
    if (std::string doubt = actuator_.extent_reason(entry_, mirror_, !row_, now_ms_); !doubt.empty()) {
        is_held_anew_ = true;
        hold_for(std::move(doubt));
    }
}

void Actuator::ObjectCase::hold_for(std::string &&doubt) {
    write_.message = joined(doubt, "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
    decision_.message = std::move(doubt);
    if (entry_.extent && entry_.extent->size() > 1)
        actuator_.held_extents_.insert(entry_.extent);
}

// The mirror is compared as a whole when it may go on. What the transaction does after this waits, deletions above all:
// a row that has moved to a closed mirror keeps its object where it was. An offline one never goes on.
bool Actuator::ObjectCase::wait_for_mirror() {
    if (is_open() || !wants_request())
        return false;
    write_.phase = Phase::pending;
    write_.message = closed_reason_.empty() ? "waits until the mirror's objects have been listed" : closed_reason_;
    write_.reason = mirror_.is_offline ? "Offline" : "";
    return conclude(mirror_.is_offline ? Outcome::Kind::settled : Outcome::Kind::stopped, true);
}

bool Actuator::ObjectCase::settle_without_request() {
    if (!is_listed_)
        return conclude(Outcome::Kind::settled, false);
    switch (decision_.action) {
    case Action::nothing:
        return settle();
    case Action::refuse:
    case Action::wait:
        return conclude(Outcome::Kind::stopped, true);
    case Action::hold:
        if (is_held_anew_)
            actuator_.holds_.push_back(
                {entry_.key, row_ ? "apply" : "delete", entry_.cause.transaction, decision_.message});
        return conclude(Outcome::Kind::stopped, true);
    case Action::restore:
        entry_.extent = nullptr; // what is written from now on counts by itself
        // The rejection stays on record until the row is seen to be as it was.
        return conclude(Outcome::Kind::restore, false);
    case Action::forget:
        return forget();
    case Action::create:
    case Action::update:
    case Action::release:
    case Action::remove:
        break;
    }
    return false;
}

// Row and object agree, or nothing is asked.
bool Actuator::ObjectCase::settle() {
    const bool is_managed = mirror_.settings.manage;
    const Phase before = stored_.object ? stored_.object->phase : Phase::none;
    if (!is_managed && !is_gone_)
        write_.phase = stored_.object && !stored_.object->claimed.empty() ? Phase::synced : Phase::none;
    write_.settles_hold = has_hold_;
    if (is_managed) { // all that was to be adopted is owned already
        write_.adoption_id = stored_.adoption_id;
        write_.adopted = stored_.is_object_adopted;
        write_.restoration_id = stored_.restoration_id;
        if (decision_.phase == Phase::synced)
            write_.expectation_id = stored_.expectation_id;
    }
    const bool is_replaced = object_ && object_->replacement == mirror::Replacement::under_way;
    if (is_replaced)
        write_.replacing = ""; // the row is as it was again
    // Deleted and inserted again with all as it was.
    if (row_ && stored_.tombstone && is_managed && decision_.phase != Phase::absent)
        write_.tombstone_id = stored_.tombstone_id;
    const bool is_over = mirror::is_waiting(before) || before == Phase::conflict || before == Phase::invalid ||
                         before == Phase::denied || before == Phase::stale || before == Phase::held;
    // The watcher has recorded that an observed object is gone.
    return conclude(Outcome::Kind::settled, (is_gone_ && is_managed) || has_hold_ || write_.tombstone_id > 0 ||
                                                write_.adoption_id > 0 || write_.expectation_id > 0 ||
                                                write_.restoration_id > 0 || is_replaced || is_over);
}

bool Actuator::ObjectCase::forget() {
    write_.forget = true;
    write_.tombstone_id = stored_.tombstone_id;
    write_.release_id = stored_.release_id;
    write_.adoption_id = stored_.adoption_id;
    write_.restoration_id = stored_.restoration_id;
    write_.expectation_id = stored_.expectation_id;
    write_.settles_hold = true;
    actuator_.writes_.push_back(std::move(write_));
    actuator_.outcomes_.push_back(
        {entry_.key, Outcome::Kind::forgotten, {}, object_ ? object_->uid : std::string(), 0});
    return true;
}

// What the server would refuse, or do where it must not.
bool Actuator::ObjectCase::stop_what_would_fail() {
    // An apply would make the object, whatever the version.
    if (decision_.action == Action::create && stored_.expectation_id > 0)
        return stop(Phase::stale, "there is no object any more that could have version " + stored_.expected_version,
                    "");
    // The mirror is compared as a whole when its schema is another.
    if (decision_.action != Action::release && actuator_.sets_outdated(mirror_, decision_.fields))
        return stop(Phase::pending, "the kind's schema has changed: dbnet.mirror_status says what the server refuses",
                    "SchemaChanged");
    mirror::ActsAs acts_as = mirror::acts_as(*mirror_.committers, entry_.cause.committer);
    if (acts_as.is_refused)
        return stop(Phase::denied, mirror::refusal_of_role(mirror::role_name(entry_.cause.committer), mirror_.server),
                    mirror::role_not_mapped);
    acts_as_ = std::move(acts_as.user);
    return false;
}

// What is sent now, of the object itself or of one subresource.
bool Actuator::ObjectCase::take_part() {
    if (decision_.action != Action::release)
        part_ = mirror::take_first_part(mirror_.mapping, decision_, object_ ? &*object_ : nullptr, entry_.refused);
    if (part_.is_empty) // the others are done
        return stop(entry_.refusal.phase, entry_.refusal.message, entry_.refusal.reason);
    return false;
}

void Actuator::ObjectCase::prepare() {
    const bool is_creation = decision_.action == Action::create, is_update = decision_.action == Action::update;
    Plan plan;
    plan.acts_as = std::move(acts_as_);
    plan.part = std::move(part_);
    plan.lane = lane_name(mirror_);
    plan.bytes = stored_.bytes + (row_ ? row_->bytes : 0);
    plan.field_manager = mirror_.field_manager;
    plan.generation = mirror_.generation;
    plan.tombstone_id = stored_.tombstone_id;
    plan.release_id = stored_.release_id;
    plan.adoption_id = stored_.adoption_id;
    plan.restoration_id = stored_.restoration_id;
    if (is_creation)
        plan.restored = stored_.last_body;
    plan.is_object_adopted = stored_.is_object_adopted;
    plan.expectation_id = stored_.expectation_id;
    plan.expected_version = stored_.expected_version;
    plan.rival = std::move(rival_);
    plan.has_hold = has_hold_;
    plan.fresh = is_creation && (!object_ || object_->uid.empty() || stored_.tombstone || entry_.replaced);
    if (object_ && (is_update || (is_creation && !plan.fresh)))
        plan.first_written = object_->first_written;
    if (object_ && !plan.fresh) {
        plan.base = std::move(object_->base);
        for (const std::string &path : write_.missing)
            plan.base.erase(path);
        plan.missing = write_.missing;
    }
    if (is_gone_)
        plan.gone_uid = object_->uid;
    plan.was_replacing = is_update && object_->replacement != mirror::Replacement::none;
    plan.has_status = row_ && row_->has_status;
    plan.cause = entry_.cause;
    if (object_)
        plan.stamp = object_->stamp;
    plan.decision = std::move(decision_);
    if (replaces_) { // on disk before it is sent: the end of the object is not to be taken for an external delete
        plan.replaces = true;
        plan.rehearsed = std::move(rehearsed_);
        write_.replacing = plan.decision.uid;
        actuator_.writes_.push_back(std::move(write_));
    }
    actuator_.decided_bytes_ += plan.bytes;
    actuator_.outcomes_.push_back({entry_.key, Outcome::Kind::prepared, std::move(plan), {}, 0});
}

bool Actuator::sets_outdated(const mirror::Mirror &mirror, const mirror::Fields &fields) const {
    const auto known = outdated_.find(mirror.relation);
    return known != outdated_.end() &&
           std::ranges::any_of(known->second.paths, [&](const std::string &path) { return fields.contains(path); });
}

} // namespace dbnet::bgworker
