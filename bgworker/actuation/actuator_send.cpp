// Requests and their answers (see actuator.hpp). Runs outside transactions; mirror worker.
#include "bgworker/actuation/actuator.hpp"

#include <algorithm>
#include <utility>

#include "kubernetes/api.hpp"
#include "kubernetes/json_access.hpp"
#include "kubernetes/object/managed_fields.hpp"
#include "mirror/decision/merge.hpp"
#include "mirror/decision/observed.hpp"
#include "mirror/decision/restored.hpp"
#include "mirror/decision/scope.hpp"
#include "mirror/decision/stamp.hpp"
#include "pg/compat.hpp"
#include "settings.hpp"

namespace dbnet::bgworker {

using mirror::Action;
using mirror::Phase;
using Next = Verdict::Next;

namespace {

// The only calls of PostgreSQL here; neither raises.
mirror::Stamp stamp_for(const Cause &cause) {
    return {GetSystemIdentifier(), GetWALInsertionTimeLine(), cause.lsn ? cause.lsn : GetFlushRecPtr(nullptr),
            cause.event};
}

// `stamp`: empty for none.
nlohmann::json body_of(const mirror::Mirror &mirror, const mirror::Key &key, const std::string &uid,
                       const mirror::Fields &values, const std::string &stamp, const std::string &version) {
    std::vector<std::pair<kubernetes::FieldPath, nlohmann::json>> fields;
    for (const auto &[path, value] : values)
        fields.emplace_back(mirror.mapping.by_path(path)->field, value);
    std::vector<std::pair<std::string, std::string>> annotations;
    if (!stamp.empty())
        annotations.emplace_back(mirror::stamp_annotation, stamp);
    return kubernetes::apply_body(mirror.resource, key.name_space, key.name, uid, fields, annotations, version);
}

// The stamp goes with the object itself: subresources take no annotations, or other kinds' do.
kubernetes::Request apply_request_for(const mirror::Mirror &mirror, const mirror::Key &key, const std::string &uid,
                                      const mirror::Part &part, const std::string &version, const std::string &stamp,
                                      bool force) {
    if (part.subresource == "scale")
        return kubernetes::scale_request(mirror.resource, key.name_space, key.name, uid, mirror.field_manager,
                                         part.fields.begin()->second.get<int64_t>(), version);
    const auto body = body_of(mirror, key, uid, part.fields, part.subresource.empty() ? stamp : "", version);
    return kubernetes::apply_request(mirror.resource, key.name_space, key.name, mirror.field_manager, force, body,
                                     false, part.subresource);
}

bool is_managed_by(const nlohmann::json &object, const std::string &field_manager) {
    const nlohmann::json *entries = kubernetes::array_member(kubernetes::member(&object, "metadata"), "managedFields");
    return entries && std::any_of(entries->begin(), entries->end(), [&](const nlohmann::json &entry) {
               return kubernetes::text_member(&entry, "manager") == field_manager;
           });
}

// Why an object whose deletion was accepted is still there.
std::string deletion_message(const nlohmann::json &live) {
    std::string names;
    if (const nlohmann::json *finalizers =
            kubernetes::array_member(kubernetes::member(&live, "metadata"), "finalizers"))
        for (const nlohmann::json &name : *finalizers)
            if (name.is_string())
                names += (names.empty() ? "" : ", ") + name.get<std::string>();
    if (!names.empty())
        return "the server waits for the object's finalizers: " + names;
    if (kubernetes::array_member(kubernetes::member(&live, "spec"), "finalizers"))
        return "the server first deletes what the namespace holds";
    return "the server gives the object time to end";
}

} // namespace

void Actuator::send_prepared(int64_t now_ms) {
    for (auto &[name, lane] : lanes_) {
        while (!lane.prepared.empty() && room(lane, now_ms) > 0) {
            const mirror::Key key = std::move(lane.prepared.front());
            lane.prepared.pop_front();
            Entry *entry = queue_.find(key);
            const auto plan = plans_.find(key);
            if (!entry || entry->state != Entry::State::prepared || plan == plans_.end()) {
                if (entry && entry->state != Entry::State::in_flight) // the key may be there twice
                    drop_plan(key);
                continue; // a newer commit came: it is decided again
            }
            const mirror::Mirror *mirror = catalog_->find(key.relation);
            if (!mirror || !closed_reason(*mirror).empty()) {
                drop_plan(key);
                queue_.redo(*entry);
                continue;
            }
            entry->attempts++;
            queue_.in_flight(*entry);
            send(*entry, plan->second, *mirror);
        }
    }
}

void Actuator::send(Entry &entry, Plan &plan, const mirror::Mirror &mirror) {
    const mirror::Key &key = entry.key;
    kubernetes::Request request;
    try {
        if (plan.decision.action == Action::release) {
            plan.looking = plan.patch.is_null();
            request = plan.looking
                          ? kubernetes::get_request(mirror.resource, key.name_space, key.name)
                          : kubernetes::merge_patch_request(mirror.resource, key.name_space, key.name,
                                                            mirror.field_manager, std::exchange(plan.patch, nullptr));
        } else if (!plan.patch.is_null()) {
            request = kubernetes::merge_patch_request(mirror.resource, key.name_space, key.name, mirror.field_manager,
                                                      plan.patch);
        } else if (!plan.restored.is_null()) {
            plan.stamp = mirror::format(stamp_for(plan.cause));
            request = kubernetes::create_request(mirror.resource, key.name_space,
                                                 mirror::restoring_manager(mirror.field_manager),
                                                 mirror::restored_body(plan.restored, plan.stamp));
        } else if (plan.decision.action != Action::remove) {
            if (plan.part.subresource.empty())
                plan.stamp = mirror::format(stamp_for(plan.cause));
            request = apply_request_for(mirror, key, plan.decision.uid, plan.part, plan.expected_version, plan.stamp,
                                        plan.forced);
        } else if (!plan.rehearsed.empty()) {
            request = kubernetes::create_request(
                mirror.resource, key.name_space, mirror.field_manager,
                body_of(mirror, key, "", plan.rehearsed, mirror::format(stamp_for(plan.cause)), ""), true);
        } else if (plan.decision.uid.empty()) {
            plan.looking = true; // deleted before its object was ever seen: only an object of ours may go
            request = kubernetes::get_request(mirror.resource, key.name_space, key.name);
        } else {
            request = kubernetes::remove_request(mirror.resource, key.name_space, key.name, plan.decision.uid,
                                                 plan.expected_version);
        }
    } catch (const std::exception &failure) {
        Finished finished;
        finished.write = write_for(entry, plan);
        finished.write.phase = Phase::invalid;
        finished.write.message = failure.what();
        finished.next = Next::stop;
        return finish(entry, std::move(finished));
    }
    if (!plan.rival.empty() && !plan.forced)
        fights_.note_revert(key, plan.rival, monotonic_ms());
    if (!plan.looking)
        request.impersonation = plan.acts_as;
    plan.attempt = entry.attempts;
    plan.sent_ms = monotonic_ms();
    lanes_[plan.lane].in_flight++;
    under_way_++;
    transport_.send(*mirror.connection, std::move(request),
                    [this, key](kubernetes::Response &&response) { take_answer(key, std::move(response)); });
}

mirror::ObjectWrite Actuator::write_for(const Entry &entry, const Plan &plan) const {
    mirror::ObjectWrite write;
    write.key = entry.key;
    write.field_manager = plan.field_manager;
    write.attempts = entry.attempts;
    write.transaction = plan.cause.transaction;
    write.commit_lsn = plan.cause.lsn;
    write.committer = plan.cause.committer;
    write.missing = plan.missing;
    write.gone_uid = plan.gone_uid;
    if (plan.was_replacing)
        write.replacing = "";
    return write;
}

// Of the call that was answered; which operation it was, and on which fields, is the caller's to say.
mirror::ActuationWrite Actuator::line_for(const Entry &entry, const Plan &plan, const Verdict &verdict,
                                          const kubernetes::Response &response) {
    mirror::ActuationWrite line;
    line.key = entry.key;
    line.transaction = plan.cause.transaction;
    line.commit_lsn = plan.cause.lsn;
    line.cause = plan.cause.event;
    line.role = plan.cause.role;
    if (plan.acts_as)
        line.acts_as = plan.acts_as->user;
    line.attempt = plan.attempt;
    line.http_status = response.status;
    line.reason = verdict.reason;
    line.message = verdict.message;
    line.latency_ms = response.seconds * 1000;
    line.warnings = response.warnings;
    return line;
}

// Called by the transport, which knows no exceptions: what a strange answer may throw is an answer that says nothing.
void Actuator::take_answer(const mirror::Key &key, kubernetes::Response &&response) noexcept {
    const auto found = plans_.find(key);
    Entry *entry = queue_.find(key);
    if (!entry || found == plans_.end())
        return; // cannot be: entries stay while their request is under way
    Plan &plan = found->second;
    lanes_[plan.lane].in_flight--;
    under_way_--;
    const mirror::Mirror *mirror = catalog_->find(key.relation);
    if (!mirror || mirror->field_manager != plan.field_manager) {
        drop_plan(key); // of a mirror that was removed meanwhile: nobody asks any more
        entry->again = mirror != nullptr;
        return queue_.settled(*entry);
    }
    try {
        answer(*entry, plan, *mirror, std::move(response));
    } catch (const std::exception &caught) {
        if (entry->state == Entry::State::in_flight) // and the plan is there as long
            try_again(*entry, plan, Phase::uncertain, std::string("the answer could not be read: ") + caught.what(),
                      backoff_ms(entry->attempts, 0.5));
    }
}

void Actuator::try_again(Entry &entry, const Plan &plan, Phase phase, const std::string &message, int64_t delay_ms) {
    Finished finished;
    finished.write = write_for(entry, plan);
    finished.next = Next::again;
    finished.delay_ms = finished.write.next_attempt_ms = delay_ms;
    finished.write.phase = phase;
    finished.write.message = message;
    finish(entry, std::move(finished));
}

// Between two requests of one decision the mirror may have been paused, disarmed or changed.
bool Actuator::may_go_on(const Plan &plan, const mirror::Mirror &mirror) const {
    return plan.generation == mirror.generation && mirror.settings.manage && closed_reason(mirror).empty();
}

void Actuator::answer(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &&response) {
    const mirror::Key key = entry.key;
    if (plan.decision.action == Action::release)
        return answer_release(entry, plan, mirror, response);
    if (plan.looking)
        return answer_look(entry, plan, mirror, response);
    if (!plan.rehearsed.empty())
        return answer_rehearsal(entry, plan, mirror, response);
    if (!plan.restored.is_null())
        return answer_restored(entry, plan, mirror, response);

    const kubernetes::Outcome outcome = kubernetes::classify(response, mirror.resource.plural);
    Attempt attempt;
    attempt.release = !std::exchange(plan.patch, nullptr).is_null();
    attempt.remove = plan.decision.action == Action::remove;
    attempt.update = plan.decision.action == Action::update;
    attempt.forced = plan.forced;
    attempt.enforce = plan.decision.enforce;
    attempt.number = entry.attempts;
    attempt.schema_failures = entry.schema_failures;
    for (const auto &[path, value] : plan.part.fields)
        attempt.paths.insert(path);
    attempt.first_written = plan.first_written;
    attempt.adopted = plan.decision.adopted;
    attempt.restoring_manager = mirror::restoring_manager(mirror.field_manager);
    const Verdict verdict =
        judge(outcome, attempt, mirror.mapping, settings::respected_manager_list(), random_() / 2147483648.0);
    const int64_t now_ms = monotonic_ms();
    note_lane(lanes_[plan.lane], verdict, response.seconds * 1000, now_ms);

    mirror::ActuationWrite line = line_for(entry, plan, verdict, response);
    if (attempt.remove)
        line.operation = "delete";
    if (attempt.release)
        line.operation = "release";
    else
        for (const auto &[path, value] : plan.part.fields)
            line.paths.push_back(path);
    line.forced = plan.forced && !attempt.release;
    log_.push_back(std::move(line));

    // The watch tells what became of it, unless it lost the event.
    if (outcome.kind == kubernetes::Outcome::uid_mismatch && attempt.update && attempt.number > 1)
        client_.look_up(key, plan.decision.uid);
    if (verdict.next == Next::force) {
        if (!may_go_on(plan, mirror))
            return try_again(entry, plan, Phase::pending, verdict.message, 0);
        plan.forced = true;
        entry.attempts++;
        return send(entry, plan, mirror);
    }

    if (outcome && disowns(plan, mirror, response.body))
        return may_go_on(plan, mirror) ? send(entry, plan, mirror)
                                       : try_again(entry, plan, Phase::pending, verdict.message, 0);

    if (!verdict.outdated.empty()) {
        Outdated &known = outdated_[key.relation];
        known.generation = mirror.generation;
        known.paths.insert(verdict.outdated.begin(), verdict.outdated.end());
        known.message = verdict.message;
    }

    Finished finished;
    finished.write = write_for(entry, plan);
    finished.next = verdict.next;
    finished.delay_ms = verdict.delay_ms;
    finished.write.phase = verdict.phase;
    finished.write.message = told(verdict);
    finished.write.reason = verdict.reason;
    // What the server turned away without a look at the fields has not tried to take them.
    const bool is_tried = outcome || outcome.kind == kubernetes::Outcome::conflict ||
                          (outcome.kind == kubernetes::Outcome::ambiguous && response.status != 0);
    if (!attempt.remove && is_tried)
        for (const auto &[path, value] : plan.part.fields)
            finished.write.first_written.insert(path);
    if (verdict.next == Next::again)
        finished.write.next_attempt_ms = verdict.delay_ms;
    if (verdict.server_wide && entry.attempts > 0)
        entry.attempts--; // not the object's fault
    if (outcome.kind == kubernetes::Outcome::schema_500)
        entry.schema_failures++;
    if (verdict.next == Next::accepted) {
        accept(finished, plan, mirror, response);
        finished.announcement = announce_done(plan, finished.write);
    }
    if (finished.write.phase == Phase::uncertain && !plan.part.subresource.empty())
        finished.write.applied = plan.part.fields;
    const bool is_refused = verdict.next == Next::stop && plan.decision.action == Action::update;
    const bool is_immutable = is_refused && plan.part.subresource.empty() && kubernetes::is_immutable(outcome);
    if (is_immutable)
        finished.write.reason = "Immutable";
    if (is_immutable && mirror.settings.recreate_immutable && !entry.again) { // decided anew
        entry.immutable = verdict.message;
        finished.next = Next::again;
        finished.delay_ms = 0;
        finished.write.phase = Phase::applying;
        entry.attempts = 0;
    } else if (is_refused && plan.part.others_follow) { // they do not depend on it
        entry.refused.insert(plan.part.subresource);
        entry.refusal = {verdict.phase, told(verdict), verdict.reason};
        finished.next = Next::again;
        finished.delay_ms = 0;
        entry.attempts = 0;
        entry.continued_lsn = plan.cause.lsn;
    } else if (finished.next == Next::accepted && !entry.refused.empty()) {
        finished.next = Next::again; // decided anew: what was refused is told
        finished.delay_ms = 0;
    }
    if (finished.write.accepted) {
        entry.attempts = 0;
        entry.continued_lsn = plan.part.others_follow || !entry.refused.empty() ? plan.cause.lsn : 0;
    }
    if (plan.replaces && verdict.next == Next::stop)
        finished.write.replacing = "";
    if (plan.replaces && (finished.next == Next::gone || finished.next == Next::await))
        finished.write.expectation_id = plan.expectation_id; // it had the version; the new one has none yet
    if (plan.replaces && finished.next == Next::gone) {
        finished.forgotten_uid = plan.decision.uid;
        finished.write.gone_uid = plan.decision.uid;
        finished.write.phase = Phase::pending;
        finished.write.message = "the object was deleted and is made anew";
        finished.row_may_differ = false;
        finished.next = Next::again;
        finished.delay_ms = 0;
    } else if (finished.next == Next::gone) {
        finished.forgotten_uid = plan.decision.uid;
        finished.write.forget = true;
        finished.write.tombstone_id = plan.tombstone_id;
        finished.write.release_id = plan.release_id;
        finished.write.adoption_id = plan.adoption_id;
        finished.write.expectation_id = plan.expectation_id;
        finished.write.restoration_id = plan.restoration_id;
        finished.write.settles_hold = plan.has_hold;
    }
    finish(entry, std::move(finished));
}

// The object was made again, by a manager that would keep what the row drops: now that the row's claims are applied it
// lets go of everything. Not before: a server counts what is there as others' when it applies to what nobody owns.
bool Actuator::disowns(Plan &plan, const mirror::Mirror &mirror, const std::string &answer) {
    const std::string manager = mirror::restoring_manager(mirror.field_manager);
    if (plan.decision.action == Action::remove || !plan.part.subresource.empty() ||
        answer.find(manager) == std::string::npos)
        return false;
    const nlohmann::json body = kubernetes::parse_json(answer);
    nlohmann::json kept = kubernetes::without_ownership(body, manager, {kubernetes::FieldPath()});
    if (kept.is_null())
        return false;
    const nlohmann::json *metadata = kubernetes::member(&body, "metadata");
    plan.is_made_again = true;
    plan.patch["metadata"] = {{"uid", kubernetes::text_member(metadata, "uid")},
                              {"resourceVersion", kubernetes::text_member(metadata, "resourceVersion")},
                              {"managedFields", std::move(kept)}};
    return true;
}

// A 2xx answer: the object, or what became of it.
void Actuator::accept(Finished &finished, const Plan &plan, const mirror::Mirror &mirror,
                      kubernetes::Response &response) {
    mirror::ObjectWrite &write = finished.write;
    const bool remove = plan.decision.action == Action::remove;
    nlohmann::json body = kubernetes::parse_json(response.body);
    if (plan.part.subresource == "scale") { // the answer is a Scale in the object's version: that comes by the watch
        finished.awaited_version = kubernetes::text_member(kubernetes::member(&body, "metadata"), "resourceVersion");
        return record_applied(finished, plan);
    }
    if (remove && !body.is_discarded() && kubernetes::is_gone(body)) {
        finished.next = Next::gone;
        return;
    }
    std::string why_still_there;
    const bool has_left = !body.is_discarded() && mirror::has_left_selector(mirror.settings, body);
    try {
        if (body.is_discarded())
            throw kubernetes::Failure("the server's answer is not JSON");
        if (remove || kubernetes::is_terminating(body))
            why_still_there = deletion_message(body);
        write.seen = mirror::observe(std::move(body), response.body, mirror.mapping, mirror.field_manager);
    } catch (const kubernetes::Failure &failure) {
        finished.next = Next::again;
        finished.delay_ms = write.next_attempt_ms = backoff_ms(write.attempts, 0.5);
        write.phase = Phase::uncertain;
        write.message = failure.what();
        return;
    }
    if (has_left) // no event tells of it
        client_.look_up(write.key, write.seen->uid);
    if (remove || write.seen->terminating) {
        finished.next = Next::await;
        write.phase = remove ? Phase::deleting : Phase::waiting_deleted;
        write.message = std::move(why_still_there);
        return;
    }
    // 200 may be the second answer to a create; the first one was lost.
    write.created = response.status == 201 || plan.is_made_again || (plan.fresh && write.seen->is_created_by_us);
    write.fresh = plan.fresh;
    if (plan.fresh && !plan.has_status && !plan.is_base_old) // nothing is news to the row that the object was made from
        for (const mirror::Column &column : mirror.mapping.columns)
            if (column.role == mirror::Role::key)
                write.base[column.path] = true;
    record_applied(finished, plan);
    if (finished.next == Next::accepted && mirror::has_shared_seed(mirror, write.claimed, write.seen->managers)) {
        finished.next = Next::again; // decided anew: it is given up
        finished.delay_ms = 0;
        write.phase = Phase::applying;
    }
    if (finished.next == Next::accepted && has_left) {
        write.phase = Phase::drifted;
        write.message = mirror::left_selector_message(mirror.settings);
        write.reason = mirror::left_selector;
    }
    mirror::ReportedObject reported{write.seen->values, write.base, write.applied, write.claimed};
    reported.base.insert(plan.base.begin(), plan.base.end()); // what was sent goes before what was known
    finished.row_may_differ = plan.is_base_old || mirror::needs_report(mirror, reported);
}

void Actuator::record_applied(Finished &finished, const Plan &plan) {
    mirror::ObjectWrite &write = finished.write;
    write.accepted = true;
    write.base.insert(plan.part.fields.begin(), plan.part.fields.end());
    write.applied = plan.part.fields;
    write.applied.insert(plan.part.kept.begin(), plan.part.kept.end());
    write.claimed = plan.part.claimed;
    write.stamp = plan.stamp;
    write.expectation_id = plan.expectation_id; // of what follows it would not be true any more
    write.attempts = 0;
    if (plan.part.others_follow) { // decided anew, now that this much is done
        finished.next = Next::again;
        finished.delay_ms = 0;
        write.phase = Phase::applying;
        return;
    }
    write.tombstone_id = plan.tombstone_id;
    write.adoption_id = plan.adoption_id;
    write.restoration_id = plan.restoration_id;
    write.adopted = plan.is_object_adopted;
    write.settles_hold = plan.has_hold;
}

// An object is deleted only when the server would take the new one.
void Actuator::answer_rehearsal(Entry &entry, Plan &plan, const mirror::Mirror &mirror,
                                kubernetes::Response &response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, mirror.resource.plural);
    Attempt attempt;
    attempt.number = entry.attempts;
    const Verdict verdict = judge(outcome, attempt, mirror.mapping, {}, random_() / 2147483648.0);
    note_lane(lanes_[plan.lane], verdict, response.seconds * 1000, monotonic_ms());
    if (outcome || outcome.kind == kubernetes::Outcome::already_exists ||
        outcome.kind == kubernetes::Outcome::being_deleted) {
        if (entry.again || !may_go_on(plan, mirror))
            return try_again(entry, plan, Phase::pending, "", 0);
        plan.rehearsed.clear();
        return send(entry, plan, mirror);
    }
    Finished finished;
    finished.write = write_for(entry, plan);
    finished.next = verdict.next;
    finished.delay_ms = finished.write.next_attempt_ms = verdict.delay_ms;
    finished.write.phase = verdict.phase;
    finished.write.message = "It is not made anew: the server would not take the new object: " + verdict.message;
    finished.write.reason = verdict.reason;
    if (verdict.next == Next::stop) {
        finished.write.message = entry.immutable + ". " + finished.write.message;
        finished.write.reason = "NewObjectRefused";
        finished.write.replacing = "";
    }
    if (verdict.server_wide && entry.attempts > 0)
        entry.attempts--; // not the object's fault
    finish(entry, std::move(finished));
}

// Made again, or there already, or refused as it was (what it used may be somebody else's by now): the row's claims
// decide what becomes of it.
void Actuator::answer_restored(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, mirror.resource.plural);
    Attempt attempt;
    attempt.number = entry.attempts;
    const Verdict verdict = judge(outcome, attempt, mirror.mapping, {}, random_() / 2147483648.0);
    note_lane(lanes_[plan.lane], verdict, response.seconds * 1000, monotonic_ms());
    mirror::ActuationWrite line = line_for(entry, plan, verdict, response);
    line.operation = "restore";
    log_.push_back(std::move(line));
    if (verdict.next != Next::again || outcome.kind == kubernetes::Outcome::already_exists) {
        if (entry.again || !may_go_on(plan, mirror))
            return try_again(entry, plan, Phase::pending, "", 0);
        plan.restored = nullptr;
        return send(entry, plan, mirror);
    }
    if (verdict.server_wide && entry.attempts > 0)
        entry.attempts--; // not the object's fault
    try_again(entry, plan, verdict.phase, verdict.message, verdict.delay_ms);
}

// The object of a row that was deleted before any answer had told its uid: what is found is decided on as any other
// that is known, so that one which DBNet did not create waits for an approval.
void Actuator::answer_look(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, mirror.resource.plural);
    const nlohmann::json body = outcome ? kubernetes::parse_json(response.body) : nlohmann::json();
    if (outcome && !body.is_object())
        return try_again(entry, plan, Phase::deleting, "the server's answer is no object",
                         backoff_ms(entry.attempts, 0.5));
    Finished finished;
    finished.write = write_for(entry, plan);
    if (outcome && is_managed_by(body, plan.field_manager)) {
        finished.write.seen = mirror::observe(std::move(body), response.body, mirror.mapping, mirror.field_manager);
        finished.write.created = finished.write.seen->is_created_by_us;
        finished.write.phase = Phase::deleting;
        finished.next = Next::again;
        finished.row_may_differ = false;
    } else if (outcome || outcome.kind == kubernetes::Outcome::not_found ||
               outcome.kind == kubernetes::Outcome::namespace_missing) {
        finished.next = Next::gone; // there is none, or it is somebody else's
        finished.write.forget = !outcome;
        finished.write.tombstone_id = plan.tombstone_id;
        finished.write.settles_hold = plan.has_hold;
    } else {
        const Verdict verdict = judge(outcome, {}, mirror.mapping, {}, 0.5);
        note_lane(lanes_[plan.lane], verdict, response.seconds * 1000, monotonic_ms());
        finished.next = Next::again;
        finished.delay_ms = finished.write.next_attempt_ms =
            std::max(verdict.delay_ms, backoff_ms(entry.attempts, 0.5));
        finished.write.phase = Phase::deleting;
        finished.write.message = outcome.message;
        finished.write.reason = outcome.reason;
    }
    finish(entry, std::move(finished));
}

// Fields are let go of by an edit of metadata.managedFields, guarded by the version that it was made from: no value
// changes, no other manager comes into being that would have to be removed, and there is no moment at which an apply
// could delete them. Two requests: the list is in no table, so the object is looked at first.
void Actuator::answer_release(Entry &entry, Plan &plan, const mirror::Mirror &mirror, kubernetes::Response &response) {
    const kubernetes::Outcome outcome = kubernetes::classify(response, mirror.resource.plural);
    Attempt attempt;
    attempt.update = attempt.release = true;
    attempt.number = entry.attempts;
    const Verdict verdict = judge(outcome, attempt, mirror.mapping, {}, random_() / 2147483648.0);
    note_lane(lanes_[plan.lane], verdict, response.seconds * 1000, monotonic_ms());
    nlohmann::json body = outcome ? kubernetes::parse_json(response.body) : nlohmann::json();
    if (outcome && !body.is_object())
        return try_again(entry, plan, Phase::uncertain, "the server's answer is no object",
                         backoff_ms(entry.attempts, 0.5));
    const bool was_looking = plan.looking;
    if (outcome && was_looking) {
        const nlohmann::json *metadata = kubernetes::member(&body, "metadata");
        if (kubernetes::text_member(metadata, "uid") != plan.decision.uid) // the watch tells what is there now
            return try_again(entry, plan, Phase::pending, "the object was replaced by another one of its name",
                             backoff_ms(entry.attempts, 0.5));
        std::vector<kubernetes::FieldPath> paths;
        for (const std::string &path : plan.decision.changed)
            paths.push_back(mirror.mapping.by_path(path)->field);
        nlohmann::json kept = kubernetes::without_ownership(body, mirror.field_manager, paths);
        if (!kept.is_null()) {
            if (!may_go_on(plan, mirror))
                return try_again(entry, plan, Phase::pending, "", 0);
            plan.patch["metadata"] = {{"uid", plan.decision.uid},
                                      {"resourceVersion", kubernetes::text_member(metadata, "resourceVersion")},
                                      {"managedFields", std::move(kept)}};
            return send(entry, plan, mirror);
        }
    }
    if (!was_looking) {
        mirror::ActuationWrite line = line_for(entry, plan, verdict, response);
        line.operation = "release";
        line.paths = plan.decision.changed;
        log_.push_back(std::move(line));
    }
    Finished finished;
    finished.write = write_for(entry, plan);
    finished.next = verdict.next;
    finished.delay_ms = verdict.delay_ms;
    finished.write.phase = verdict.phase;
    finished.write.message = told(verdict);
    finished.write.reason = verdict.reason;
    if (verdict.next == Next::again)
        finished.write.next_attempt_ms = verdict.delay_ms;
    if (verdict.server_wide && entry.attempts > 0)
        entry.attempts--; // not the object's fault
    if (outcome) {
        accept_release(finished, plan, mirror, std::move(body), response.body);
        entry.attempts = 0;
    }
    finish(entry, std::move(finished));
}

// What else the row asks for is decided now that it does not claim the fields any more.
void Actuator::accept_release(Finished &finished, const Plan &plan, const mirror::Mirror &mirror, nlohmann::json &&body,
                              const std::string &text) const {
    mirror::ObjectWrite &write = finished.write;
    write.seen = mirror::observe(std::move(body), text, mirror.mapping, mirror.field_manager);
    write.released.insert(plan.decision.changed.begin(), plan.decision.changed.end());
    for (const auto &[path, value] : plan.decision.fields)
        if (!value.is_null())
            write.base.emplace(path, value);
    write.release_id = plan.release_id;
    write.attempts = 0;
    write.phase = Phase::applying;
    finished.next = Next::again;
    finished.delay_ms = 0;
}

void Actuator::note_lane(Lane &lane, const Verdict &verdict, double latency_ms, int64_t now_ms) {
    if (verdict.overload)
        lane.window.on_overload(settings::requests_in_flight);
    else if (!verdict.server_wide)
        lane.window.on_answer(latency_ms, settings::requests_in_flight);
    if (!verdict.server_wide) {
        lane.failures = 0;
        return;
    }
    // The server takes requests, only not so many at a time: this one waits as long as it was told, the others do not.
    if (verdict.overload && lane.in_flight > 0)
        return;
    // Requests that were under way together fail together: that is one failure.
    if (now_ms >= lane.closed_until_ms) {
        lane.failures++;
        lane.closed_until_ms = now_ms + std::max(verdict.delay_ms, backoff_ms(lane.failures, 0.5));
    }
    lane.overloaded = verdict.overload;
    lane.message = verdict.message;
    lane.reason = verdict.reason;
}

void Actuator::finish(Entry &entry, Finished &&finished) {
    if (finished.next == Next::stop)
        finished.announcement = announce_refused(plans_.at(entry.key), finished.write);
    if (finished_.empty())
        oldest_finished_ms_ = monotonic_ms();
    finished_.push_back(std::move(finished)); // may throw: then nothing has changed
    queue_.finished(entry);
    hurry_ |= entry.again;
    drop_plan(entry.key);
}

} // namespace dbnet::bgworker
