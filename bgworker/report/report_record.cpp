// Implementation of report_record.hpp. Runs in the mirror worker.
#include "bgworker/report/report_record.hpp"

#include "kubernetes/object/managed_fields.hpp"
#include "kubernetes/object/resource_version.hpp"
#include "mirror/decision/scope.hpp"
#include "mirror/store/object_store.hpp"
#include "pg/spi.hpp"
#include "pg/text_columns.hpp"

#include <algorithm>
#include <optional>
#include <set>

namespace dbnet::bgworker {

namespace {

using mirror::Json;
using mirror::Mirror;
using mirror::ObjectRecord;
using mirror::OnExternalDelete;
using mirror::Phase;
using mirror::StoredObject;
using Text = std::optional<std::string>;

// $1 relation, $2 field manager: nothing is written for a mirror that was removed or made anew meanwhile.
// Another incarnation under the same name takes nothing over from what was sent to the one before; but nobody asked
// again for its fields, so they are not taken from others by force (first_written stays). What is recorded just so, as
// after a restart, is not written again.
const pg::Statement write_present{R"sql(
    INSERT INTO dbnet.object AS o (relation, namespace, name, uid, resource_version, generation, live, managers, health,
                                   health_message, controller, last_manager, phase, message, reason, claimed, first_written, applied, stamp,
                                   created_by_us)
    SELECT m.relation, v.namespace, v.name, v.uid, v.resource_version, v.generation::bigint, v.live::jsonb, v.managers::jsonb,
           v.health, v.health_message, v.controller, v.last_manager, v.phase, v.message, v.reason,
           v.owned::text[], v.owned::text[], v.applied::jsonb, v.stamp, v.created::boolean
    FROM dbnet.mirrored_relation AS m,
         unnest($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
             AS v(namespace, name, uid, resource_version, generation, live, managers, health, health_message, controller,
                  last_manager, phase, message, reason, owned, applied, stamp, created)
    WHERE m.relation = $1::regclass AND m.field_manager = $2
    ON CONFLICT (relation, namespace, name) DO UPDATE SET
        uid = excluded.uid, resource_version = excluded.resource_version, generation = excluded.generation,
        live = excluded.live, managers = excluded.managers, health = excluded.health,
        health_message = excluded.health_message, controller = excluded.controller, last_manager = excluded.last_manager, phase = excluded.phase, changed_at = clock_timestamp(),
        message = CASE WHEN excluded.phase IS NOT DISTINCT FROM o.phase AND excluded.message IS NULL THEN o.message
                       ELSE excluded.message END,
        reason = coalesce(excluded.reason, CASE WHEN o.reason <> 'LeftSelector' THEN o.reason END),
        claimed = CASE WHEN excluded.claimed <@ o.claimed THEN o.claimed
                       ELSE ARRAY(SELECT unnest(o.claimed) UNION SELECT unnest(excluded.claimed)) END,
        first_written = CASE WHEN excluded.first_written <@ o.first_written THEN o.first_written
                             ELSE ARRAY(SELECT unnest(o.first_written) UNION SELECT unnest(excluded.first_written)) END,
        applied = CASE WHEN o.uid <> excluded.uid THEN excluded.applied ELSE o.applied || excluded.applied END,
        stamp = coalesce(excluded.stamp, CASE WHEN o.uid <> excluded.uid THEN NULL ELSE o.stamp END),
        created_by_us = excluded.created_by_us OR o.created_by_us AND o.uid IS NOT DISTINCT FROM excluded.uid
    WHERE (o.uid, o.resource_version, o.phase, o.message, o.health)
              IS DISTINCT FROM (excluded.uid, excluded.resource_version, excluded.phase, coalesce(excluded.message, o.message), excluded.health)
          OR excluded.stamp IS NOT NULL OR NOT excluded.claimed <@ o.claimed OR o.managers <> excluded.managers OR o.live IS DISTINCT FROM excluded.live
)sql"};

const pg::Statement write_gone{R"sql(
    UPDATE dbnet.object AS o
    SET live = NULL, managers = '{}', health = NULL, health_message = NULL, phase = v.phase, message = v.message, reason = NULL,
        changed_at = clock_timestamp()
    FROM unnest($2, $3, $4, $5) AS v(namespace, name, phase, message)
    WHERE o.relation = $1::regclass AND o.namespace = v.namespace AND o.name = v.name
)sql"};

// A phase that a request is responsible for stays, and so do its words; the message of a row that could be written
// again goes.
#define DBNET_IS_TOLD                                                                                                  \
    "(v.message IS NOT NULL AND (o.message IS NULL OR o.reason LIKE 'Report%' OR o.phase IS NULL"                      \
    " OR o.phase IN ('synced', 'drifted', 'report_failed', 'absent')))"
const pg::Statement write_results{R"sql(
    UPDATE dbnet.object AS o
    SET base = coalesce(v.base::jsonb, o.base),
        claimed = ARRAY(SELECT path FROM unnest(o.claimed) AS path WHERE NOT v.released::jsonb ? path),
        applied = (o.applied - ARRAY(SELECT jsonb_array_elements_text(v.released::jsonb))) || v.accepted::jsonb,
        phase = CASE WHEN v.is_failed AND (o.phase IS NULL OR o.phase IN ('synced', 'drifted')) THEN 'report_failed'
                     WHEN NOT v.is_failed AND o.phase = 'report_failed' AND o.live IS NULL THEN 'absent'
                     WHEN NOT v.is_failed AND o.phase = 'report_failed' AND v.drift IS NOT NULL THEN 'drifted'
                     WHEN NOT v.is_failed AND o.phase = 'report_failed'
                         THEN CASE WHEN o.claimed <> '{}' THEN 'synced' END
                     ELSE o.phase END,
        message = CASE WHEN )sql" DBNET_IS_TOLD R"sql( THEN v.message
                       WHEN NOT v.is_failed AND o.phase = 'report_failed' THEN v.drift
                       WHEN o.reason LIKE 'Report%' THEN NULL ELSE o.message END,
        reason = CASE WHEN )sql" DBNET_IS_TOLD R"sql( THEN v.reason
                      WHEN NOT v.is_failed AND o.phase = 'report_failed' THEN v.drift_reason
                      WHEN o.reason LIKE 'Report%' THEN NULL ELSE o.reason END,
        changed_at = clock_timestamp()
    FROM unnest($2, $3, $4, $5, $6, $7, $8::boolean[], $9, $10, $11, $12)
             AS v(namespace, name, uid, base, released, accepted, is_failed, message, reason, drift, drift_reason)
    WHERE o.relation = $1::regclass AND o.namespace = v.namespace AND o.name = v.name AND o.uid IS NOT DISTINCT FROM v.uid
        AND (v.base IS NOT NULL OR v.released <> '[]' OR )sql" DBNET_IS_TOLD
                                  R"sql( AND v.message IS DISTINCT FROM o.message
             OR o.reason LIKE 'Report%' AND v.message IS NULL)
)sql"};

#undef DBNET_IS_TOLD

const pg::Statement forget_gone{R"sql(
    DELETE FROM dbnet.object AS o USING unnest($2, $3, $4::boolean[]) AS v(namespace, name, has_left)
    WHERE o.relation = $1::regclass AND o.namespace = v.namespace AND o.name = v.name
        AND (o.live IS NULL AND o.phase IN ('absent', 'report_failed')
             OR v.has_left AND (o.phase IS NULL OR o.phase IN ('synced', 'drifted', 'report_failed')))
)sql"};

// Phases in which no request is on its way or wanted: reports may change them.
bool is_ours(Phase phase) {
    return phase == Phase::none || phase == Phase::synced || phase == Phase::drifted || phase == Phase::absent;
}

bool is_being_deleted(const StoredObject &stored) {
    return stored.tombstone || stored.object->phase == Phase::deleting ||
           stored.object->phase == Phase::waiting_deleted;
}

mirror::ReportedObject reported(const ObjectRecord &record, mirror::Fields live) {
    return {std::move(live), record.base, record.applied, record.claimed};
}

// The row of an object that was deleted, or that left the mirror's selector.
bool drops_row(const Mirror &mirror, const ObjectRecord &record) {
    const auto &rule = mirror.settings.on_external_delete;
    if (record.uid.empty()) // it never had an object
        return false;
    if (mirror::is_made_anew(mirror.settings, record) || rule == OnExternalDelete::flag)
        return false;
    return rule == OnExternalDelete::drop_row || !record.created_by_us;
}

bool drops_left_row(const Mirror &mirror, const StoredObject &stored) {
    const Phase phase = stored.object->phase;
    return (is_ours(phase) || phase == Phase::report_failed) && !stored.tombstone && drops_row(mirror, *stored.object);
}

// "spec.replicas by kubectl, spec.paused by argocd-controller": whoever owns the field now.
std::string changes_of(const std::vector<const mirror::Column *> &columns, const mirror::Json &managers) {
    std::string text;
    for (const mirror::Column *column : columns) {
        const auto owner = managers.find(column->path);
        text += (text.empty() ? "" : ", ") + column->path + " by " +
                (owner == managers.end() ? "an unknown manager" : owner->front().get<std::string>());
    }
    return text;
}

std::string names_of(const std::vector<const mirror::Column *> &columns) {
    std::string text;
    for (const mirror::Column *column : columns)
        text += (text.empty() ? "" : ", ") + column->path;
    return text;
}

class Recorder {
public:
    explicit Recorder(const Mirror &mirror) : mirror_(mirror) {}

    void take(const QueuedEvent &event, const StoredObject &stored) {
        if (event.kind == QueuedEvent::Kind::present)
            present(event, stored);
        else if (stored.object)
            gone(event, stored);
    }

    Recorded finish();

private:
    void present(const QueuedEvent &event, const StoredObject &stored);
    void gone(const QueuedEvent &event, const StoredObject &stored);
    void take_answer(const QueuedEvent &event, mirror::ReportedObject &object);
    void write(const QueuedEvent &event, Phase phase, const std::string &message, bool is_answer, bool is_new);

    const Mirror &mirror_;
    Recorded recorded_;
    pg::TextColumns present_;
    std::vector<std::string> gone_name_spaces_, gone_names_, gone_phases_, gone_messages_;
};

// A list that is as new as the record has an older version of the object than that: the server's store was restored
// from a backup, and its versions have passed ours since.
bool went_back(const QueuedEvent &event, const ObjectRecord &record) {
    const auto list = kubernetes::compare_resource_versions(event.as_of, record.resource_version);
    const auto object = kubernetes::compare_resource_versions(event.resource_version, record.resource_version);
    return list && object && *list >= 0 && *object < 0;
}

// What applies of the mirror's manager have made of the object.
mirror::Fields applied_values(const mirror::Mapping &mapping, const mirror::Observed &seen) {
    mirror::Fields values;
    for (const std::string &path : seen.owned)
        if (const Json *value = mirror::find_field(seen.values, path))
            values[path] = kubernetes::owned_part(*value, seen.own_fields, mapping.by_path(path)->field);
    return values;
}

// The status has no stamp.
bool has_unclaimed_status(const mirror::Mapping &mapping, const mirror::Observed &seen, const ObjectRecord *record) {
    return std::ranges::any_of(seen.owned, [&](const std::string &path) {
        return mapping.by_path(path)->subresource == "status" && !(record && record->claimed.contains(path));
    });
}

// A stamp of ours that is not on record is the answer to an apply that was lost in a crash, or that a copy of this
// database made: what the object shows takes the answer's place. Fields that were applied are claimed (an apply that
// left them out would delete them), and a row that says otherwise is decided anew.
void Recorder::present(const QueuedEvent &event, const StoredObject &stored) {
    RowJob job{RowJob::Kind::report, event.key, event.uid, {}, true};
    const ObjectRecord *known = stored.object ? &*stored.object : nullptr;
    const bool is_answer = (!event.seen.stamp.empty() && (!known || known->stamp != event.seen.stamp)) ||
                           has_unclaimed_status(mirror_.mapping, event.seen, known);
    if (!stored.object) {
        if (event.has_left)
            return; // none of the mirror's
        write(event, is_answer ? Phase::synced : Phase::none, "", is_answer, true);
        recorded_.repaired += event.is_repair;
        job.object.live = event.seen.values;
        if (is_answer)
            take_answer(event, job.object);
        recorded_.jobs.push_back(std::move(job));
        return;
    }
    const ObjectRecord &record = *stored.object;
    job.object = reported(record, event.seen.values);
    job.has_left = event.has_left;
    job.last_actuation = record.last_actuation;
    bool same = record.uid == event.uid;
    if (same && !event.authoritative && record.phase != Phase::absent && !went_back(event, record) &&
        kubernetes::is_not_newer(event.resource_version, record.resource_version)) {
        // The record is as new or newer. If it is the same, its row may still be behind: a crash came between.
        if (event.resource_version != record.resource_version)
            return;
        if (event.has_left && drops_left_row(mirror_, stored))
            job.kind = RowJob::Kind::remove;
        if (job.kind == RowJob::Kind::remove || mirror::needs_report(mirror_, job.object))
            recorded_.jobs.push_back(std::move(job));
        return;
    }
    Phase phase = record.phase;
    std::string message;
    if (!same && !record.uid.empty()) {
        job.object.applied.clear();
        job.last_actuation = 0;
        recorded_.seen.push_back({event.key, event.uid, Seen::replaced});
    }
    if (is_answer)
        take_answer(event, job.object);
    std::vector<const mirror::Column *> drifted = mirror::drifted(mirror_, job.object);
    if (is_ours(phase)) {
        phase = job.object.claimed.empty() ? Phase::none : Phase::synced;
        if (!drifted.empty()) {
            phase = Phase::drifted;
            message = "changed on the server: " + changes_of(drifted, event.seen.managers);
        }
        if (event.has_left) {
            phase = Phase::drifted;
            message = mirror::left_selector_message(mirror_.settings);
        }
    }
    const bool is_enforced = std::ranges::any_of(drifted, [&](const mirror::Column *column) {
        return mirror::on_drift_of(mirror_, *column) == mirror::OnDrift::enforce;
    });
    if (is_enforced || record.phase == Phase::fighting ||
        mirror::has_shared_seed(mirror_, job.object.claimed, event.seen.managers))
        recorded_.seen.push_back({event.key, event.uid, Seen::drifted});
    write(event, phase, message, is_answer, !same);
    recorded_.repaired += event.is_repair;
    if (event.has_left && drops_left_row(mirror_, stored))
        job.kind = RowJob::Kind::remove;
    if (job.kind == RowJob::Kind::remove || mirror::needs_report(mirror_, job.object))
        recorded_.jobs.push_back(std::move(job));
}

void Recorder::gone(const QueuedEvent &event, const StoredObject &stored) {
    const ObjectRecord &record = *stored.object;
    // Another incarnation: an older one, unless it was seen in a version newer than the record's. Then that one is
    // gone, too: what came between was one event with this.
    if (!event.uid.empty() && !record.uid.empty() && event.uid != record.uid &&
        !kubernetes::is_older(record.resource_version, event.resource_version))
        return;
    recorded_.seen.push_back({event.key, record.uid, Seen::gone});
    if (record.uid.empty())
        return; // an older one, too: the row's own object is still to be made
    if (stored.tombstone || record.phase == Phase::deleting || record.phase == Phase::absent ||
        record.replacement != mirror::Replacement::none)
        return; // expected, and finished by the actuator; or known already
    recorded_.repaired += event.is_repair;
    gone_name_spaces_.push_back(event.key.name_space);
    gone_names_.push_back(event.key.name);
    gone_phases_.push_back(mirror::to_text(Phase::absent));
    gone_messages_.push_back("deleted on the server by somebody else");
    if (drops_row(mirror_, record))
        recorded_.jobs.push_back(
            {RowJob::Kind::remove, event.key, record.uid, reported(record, {}), false, record.last_actuation});
}

void Recorder::take_answer(const QueuedEvent &event, mirror::ReportedObject &object) {
    object.claimed.insert(event.seen.owned.begin(), event.seen.owned.end());
    for (auto &[path, value] : applied_values(mirror_.mapping, event.seen))
        object.applied[path] = std::move(value);
    recorded_.seen.push_back({event.key, event.uid, Seen::answered});
}

// `is_new`: nothing of this incarnation was on record.
void Recorder::write(const QueuedEvent &event, Phase phase, const std::string &message, bool is_answer, bool is_new) {
    const mirror::Observed &seen = event.seen;
    present_.add(
        event.key.name_space, event.key.name, pg::text_or_null(event.uid), pg::text_or_null(event.resource_version),
        seen.generation ? Text(std::to_string(*seen.generation)) : Text(), seen.live, seen.managers.dump(),
        pg::text_or_null(seen.health), pg::text_or_null(seen.health_message), pg::text_or_null(seen.controller),
        pg::text_or_null(seen.last_manager), pg::text_or_null(mirror::to_text(phase)), pg::text_or_null(message),
        phase == Phase::drifted && event.has_left ? Text(mirror::left_selector) : Text(),
        is_answer ? pg::array_text(seen.owned) : "{}",
        is_answer ? Json(applied_values(mirror_.mapping, seen)).dump() : "{}", is_answer ? Text(seen.stamp) : Text(),
        is_answer && is_new && seen.is_created_by_us ? "t" : "f");
}

Recorded Recorder::finish() {
    if (!present_.empty()) {
        std::vector<pg::Argument> arguments{Oid{mirror_.relation}, mirror_.field_manager};
        const auto columns = present_.arguments<pg::Argument>();
        arguments.insert(arguments.end(), columns.begin(), columns.end());
        pg::execute(write_present, std::span<const pg::Argument>(arguments));
    }
    if (!gone_names_.empty())
        pg::execute(write_gone, Oid{mirror_.relation}, gone_name_spaces_, gone_names_, gone_phases_, gone_messages_);
    return std::move(recorded_);
}

} // namespace

Recorded record(const Mirror &mirror, std::span<const QueuedEvent> events) {
    std::vector<mirror::Key> keys;
    for (const QueuedEvent &event : events)
        keys.push_back(event.key);
    std::vector<StoredObject> stored = mirror::load_objects(keys, false);
    Recorder recorder(mirror);
    for (size_t i = 0; i < events.size(); i++)
        recorder.take(events[i], stored[i]);
    return recorder.finish();
}

std::vector<RowJob> jobs_from_record(const Mirror &mirror, std::span<const mirror::Key> keys, bool restore) {
    std::vector<StoredObject> stored = mirror::load_objects(keys, true);
    std::vector<RowJob> jobs;
    for (size_t i = 0; i < keys.size(); i++) {
        if (!stored[i].object) {
            if (restore)
                jobs.push_back({RowJob::Kind::restore, keys[i], "", {}, false});
            continue;
        }
        const ObjectRecord &record = *stored[i].object;
        bool exists = !record.live.is_null();
        RowJob job{
            RowJob::Kind::report, keys[i], record.uid, reported(record, mirror.mapping.from_live(record.live)), exists,
            record.last_actuation};
        job.has_left = mirror::has_left_selector(mirror.settings, record.live);
        if (restore)
            job.kind = RowJob::Kind::restore;
        else if (!exists && is_being_deleted(stored[i]))
            continue;
        else if (!exists && (record.phase != Phase::absent && record.phase != Phase::report_failed))
            continue;
        else if (!exists && !drops_row(mirror, record))
            continue;
        else if (!exists || (job.has_left && drops_left_row(mirror, stored[i])))
            job.kind = RowJob::Kind::remove;
        else if (!mirror::needs_report(mirror, job.object))
            continue;
        jobs.push_back(std::move(job));
    }
    return jobs;
}

void record_results(const Mirror &mirror, std::span<const RowJob> jobs, std::span<const RowResult> results) {
    std::vector<std::string> name_spaces, names, released, accepted, failures, gone_name_spaces, gone_names, gone_left;
    std::vector<Text> uids, bases, messages, reasons, drifts, drift_reasons;
    for (size_t i = 0; i < jobs.size(); i++) {
        const RowResult &result = results[i];
        if (result.kind == RowResult::Kind::locked || result.kind == RowResult::Kind::postponed)
            continue;
        bool failed = result.kind == RowResult::Kind::failed;
        if (result.row_is_gone && !failed) {
            gone_name_spaces.push_back(jobs[i].key.name_space);
            gone_names.push_back(jobs[i].key.name);
            gone_left.push_back(jobs[i].has_left ? "t" : "f");
            continue;
        }
        name_spaces.push_back(jobs[i].key.name_space);
        names.push_back(jobs[i].key.name);
        uids.push_back(pg::text_or_null(jobs[i].uid));
        bool has_base = !failed && result.merge.base_changed && jobs[i].exists;
        bases.push_back(has_base ? Text(Json(result.merge.base).dump()) : Text());
        released.push_back(failed ? "[]" : Json(result.merge.released).dump());
        accepted.push_back(failed ? "{}" : Json(result.merge.accepted).dump());
        failures.push_back(failed ? "t" : "f");
        messages.push_back(pg::text_or_null(result.message));
        reasons.push_back(result.message.empty() ? Text() : "Report" + result.sqlstate);
        const std::vector<const mirror::Column *> drifted = mirror::drifted(mirror, jobs[i].object);
        if (jobs[i].has_left)
            drifts.push_back(mirror::left_selector_message(mirror.settings));
        else
            drifts.push_back(drifted.empty() ? Text() : "changed on the server: " + names_of(drifted));
        drift_reasons.push_back(jobs[i].has_left ? Text(mirror::left_selector) : Text());
    }
    if (!names.empty())
        pg::execute(write_results, Oid{mirror.relation}, name_spaces, names, uids, bases, released, accepted, failures,
                    messages, reasons, drifts, drift_reasons);
    if (!gone_names.empty())
        pg::execute(forget_gone, Oid{mirror.relation}, gone_name_spaces, gone_names, gone_left);
}

} // namespace dbnet::bgworker
