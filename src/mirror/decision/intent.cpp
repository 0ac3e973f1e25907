// The decision about one object. Pure C++; mirror worker and dbnet.preview.
#include "mirror/decision/intent.hpp"

#include <algorithm>
#include <array>

#include "kubernetes/api.hpp"
#include "mirror/decision/mass_change.hpp"
#include "mirror/decision/scope.hpp"
#include "pg/no_postgres.hpp"

namespace dbnet::mirror {

namespace {

constexpr std::array<std::pair<Phase, const char *>, 15> phase_names{{
    {Phase::pending, "pending"},
    {Phase::applying, "applying"},
    {Phase::synced, "synced"},
    {Phase::conflict, "conflict"},
    {Phase::invalid, "invalid"},
    {Phase::denied, "denied"},
    {Phase::stale, "stale"},
    {Phase::uncertain, "uncertain"},
    {Phase::deleting, "deleting"},
    {Phase::waiting_deleted, "waiting_deleted"},
    {Phase::held, "held"},
    {Phase::fighting, "fighting"},
    {Phase::drifted, "drifted"},
    {Phase::absent, "absent"},
    {Phase::report_failed, "report_failed"},
}};

Decision settled(Phase phase, std::string message = {}, std::string hint = {}) {
    Decision decision;
    decision.phase = phase;
    decision.message = std::move(message);
    decision.hint = std::move(hint);
    return decision;
}

Decision act(Action action, Phase phase, std::string message = {}, std::string hint = {}) {
    Decision decision = settled(phase, std::move(message), std::move(hint));
    decision.action = action;
    return decision;
}

bool exists(const ObjectRecord *object) {
    return object && object->exists() && object->replacement != Replacement::gone;
}
bool is_gone(const ObjectRecord *object) {
    return object && !exists(object) && (!object->uid.empty() || object->phase == Phase::absent);
}

OnDrift drift_rule(const Situation &situation, const Column &column) {
    return column.on_drift.value_or(situation.settings->on_drift);
}

// nullptr: none is needed. An object that was never seen at the server is looked for first and deleted only if it is
// ours.
const char *approval_reason(const Situation &situation) {
    const MirrorSettings &settings = *situation.settings;
    const bool is_seen = situation.object && !situation.object->uid.empty();
    if (situation.tombstone->uid.empty() && !is_seen)
        return nullptr;
    if (always_held_delete(settings.group, settings.kind))
        return "deleting an object of this kind takes other objects or data with it";
    // A record of no object, or none, is younger than the tombstone and says nothing about who made that one's.
    const bool is_ours = is_seen ? situation.object->created_by_us : situation.tombstone->created_by_us;
    if (!is_ours && !settings.delete_foreign)
        return "the object was not created by DBNet";
    return nullptr;
}

// The row is gone: only a tombstone deletes.
Decision decide_without_row(const Situation &situation) {
    const ObjectRecord *object = situation.object;
    if (!situation.tombstone)
        return act(is_gone(object) ? Action::forget : Action::nothing, object ? object->phase : Phase::none);
    if (is_gone(object))
        return act(Action::forget, Phase::absent);
    if (!situation.settings->manage)
        return settled(object ? object->phase : Phase::none);
    if (!kubernetes::name_problem(situation.name).empty())
        return act(Action::forget, Phase::absent); // there never was such an object

    const std::string &uid = situation.tombstone->uid;
    // The object of the row is gone, somebody made another one since. One that we made is the row's.
    if (!uid.empty() && exists(object) && object->uid != uid && !object->created_by_us)
        return act(Action::restore, Phase::synced);
    if (exists(object) && kubernetes::is_terminating(object->live))
        return act(Action::wait, Phase::waiting_deleted, "deleted; its finalizers have not finished");

    if (situation.hold == HoldDecision::rejected)
        return act(Action::restore, Phase::synced);
    const char *reason = approval_reason(situation);
    if (situation.hold == HoldDecision::waiting || (reason && situation.hold != HoldDecision::approved))
        return act(Action::hold, Phase::held, reason ? reason : "waits for a decision",
                   "See dbnet.held; decide with dbnet.approve or dbnet.reject.");

    Decision decision = act(Action::remove, Phase::deleting);
    decision.uid = exists(object) ? object->uid : uid;
    return decision;
}

bool is_released(const Situation &situation, const std::string &path) {
    return situation.releases && situation.releases->contains(path);
}

// What is to be given up, because somebody said so or because somebody else owns now what was to be set once. The row's
// own word goes before that: what it has not sent yet is sent.
Fields given_up(const Situation &situation) {
    const ObjectRecord &object = *situation.object;
    Fields fields;
    for (const Column &column : situation.mapping->columns) {
        if (is_released(situation, column.path)) {
            fields.emplace(column.path, situation.releases->at(column.path));
            continue;
        }
        if (drift_rule(situation, column) != OnDrift::seed || !object.claimed.contains(column.path) ||
            !object.shared.contains(column.path))
            continue;
        const Json *value = find_field(situation.row->values, column.path);
        if (value && same_value(column, value, find_field(object.applied, column.path)))
            fields.emplace(column.path, *value);
    }
    return fields;
}

Decision release(const Situation &situation, Fields fields) {
    Decision decision = act(Action::release, Phase::applying);
    decision.uid = situation.object->uid;
    for (const auto &[path, value] : fields)
        decision.changed.push_back(path);
    decision.fields = std::move(fields);
    return decision;
}

Decision refuse_null_claim(const Mapping &mapping, const std::string &path) {
    const Column *column = mapping.by_path(path);
    return act(Action::refuse, Phase::invalid,
               "column \"" + column->name + "\" (" + path +
                   ") is NULL, but DBNet owns this field: sending the object "
                   "without it would delete the field or reset it to the server's default",
               "Set a value, or let go of the field with dbnet.release(relation, key, '{\"" + column->name + "\"}').");
}

// All claimed fields with the row's values; `changed` against what was applied to this incarnation.
Decision apply(const Situation &situation, const ObjectRecord *object, Action action) {
    Decision decision = act(action, Phase::applying);
    std::set<std::string> paths = claims(*situation.mapping, *situation.row, object);
    if (situation.adopted)
        for (const Column &column : situation.mapping->columns)
            if (situation.adopted->contains(column.path))
                decision.adopted.insert(column.path);
    paths.insert(decision.adopted.begin(), decision.adopted.end());
    for (const std::string &path : paths) {
        const Json *value = find_field(situation.row->values, path);
        if (!value)
            continue; // checked by the caller where it matters
        decision.fields.emplace(path, *value);
        const Json *before = object ? find_field(object->applied, path) : nullptr;
        const bool is_new = decision.adopted.contains(path) && object &&
                            (!object->claimed.contains(path) || object->phase == Phase::drifted);
        if (action == Action::create || is_new || !same_value(*situation.mapping->by_path(path), value, before))
            decision.changed.push_back(path);
    }
    if (action == Action::update)
        decision.uid = object->uid;
    return decision;
}

// A value that the server would refuse or, worse, store as another one. What it has accepted once is not asked again:
// rules may be older than the server.
std::optional<Decision> refuse_bad_value(const Mapping &mapping, const Decision &wanted) {
    for (const std::string &path : wanted.changed)
        if (const auto error = check_value(*mapping.by_path(path), wanted.fields.at(path)))
            return act(Action::refuse, Phase::invalid, error->message, error->hint);
    return std::nullopt;
}

// Labels with which the mirror would lose sight of the object.
std::optional<Decision> refuse_labels(const Situation &situation, const Decision &wanted, const ObjectRecord *object) {
    if (const auto error = selector_problem(situation, wanted, object))
        return act(Action::refuse, Phase::invalid, error->message, error->hint);
    return std::nullopt;
}

Decision decide_create(const Situation &situation, const ObjectRecord *object) {
    if (const std::string_view problem = kubernetes::name_problem(situation.name); !problem.empty())
        return act(Action::refuse, Phase::invalid,
                   "metadata.name: Invalid value: \"" + std::string(situation.name) + "\": " + std::string(problem));
    Decision decision = apply(situation, object, Action::create);
    if (auto refused = refuse_bad_value(*situation.mapping, decision))
        return std::move(*refused);
    if (auto refused = refuse_labels(situation, decision, nullptr))
        return std::move(*refused);
    if (situation.hold == HoldDecision::waiting)
        return act(Action::hold, Phase::held, "waits for a decision",
                   "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
    return decision;
}

// Whether one of the paths still has the value that was rejected; another value has been written since.
bool holds_rejected(const Situation &situation, const std::vector<std::string> &paths) {
    return !situation.rejected || std::ranges::any_of(paths, [&](const std::string &path) {
        const Mapping &mapping = *situation.mapping;
        return situation.rejected->holds_still(*mapping.by_path(path), *situation.row);
    });
}

// The object exists and is not being deleted.
Decision decide_update(const Situation &situation) {
    const ObjectRecord &object = *situation.object;
    const Mapping &mapping = *situation.mapping;
    if (Fields fields = given_up(situation); !fields.empty())
        return release(situation, std::move(fields));
    if (!situation.tombstone) // else the row was deleted and inserted anew: what it leaves out is given up
        for (const std::string &path : object.claimed)
            if (mapping.by_path(path) && !find_field(situation.row->values, path))
                return refuse_null_claim(mapping, path);

    Decision decision = apply(situation, &object, Action::update);
    decision.only_reverts = decision.changed.empty() && decision.adopted.empty();
    std::string drifted;
    for (const auto &[path, value] : decision.fields) {
        const Column &column = *mapping.by_path(path);
        if (std::find(decision.changed.begin(), decision.changed.end(), path) != decision.changed.end())
            continue;
        const Json *live = object.live.is_null() ? &value : kubernetes::get(object.live, column.field);
        if (has_effect(column, &value, live) || lets_others_win(drift_rule(situation, column)))
            continue;
        if (drift_rule(situation, column) == OnDrift::enforce && !object.controlled) {
            decision.changed.push_back(path);
            decision.enforce = true;
        } else {
            drifted += (drifted.empty() ? "" : ", ") + path;
        }
    }
    if (decision.changed.empty()) {
        if (has_left_selector(*situation.settings, object.live))
            return settled(Phase::drifted, left_selector_message(*situation.settings));
        if (!drifted.empty())
            return settled(Phase::drifted, "somebody else changed " + drifted,
                           "Put the row's values back with dbnet.adopt, accept theirs with dbnet.release, or alter the "
                           "mirror's on_drift.");
        return settled(Phase::synced);
    }
    if (situation.hold == HoldDecision::rejected && holds_rejected(situation, decision.changed))
        return act(Action::restore, Phase::synced);
    if (auto refused = refuse_bad_value(mapping, decision))
        return std::move(*refused);
    if (auto refused = refuse_labels(situation, decision, &object))
        return std::move(*refused);
    if (situation.hold == HoldDecision::waiting)
        return act(Action::hold, Phase::held, "waits for a decision",
                   "See dbnet.held; decide with dbnet.approve or dbnet.reject.");
    for (const std::string &path : decision.changed)
        decision.enforce |= drift_rule(situation, *mapping.by_path(path)) == OnDrift::enforce && !object.controlled;
    return decision;
}

Decision decide_with_row(const Situation &situation) {
    const ObjectRecord *object = situation.object;
    if (!situation.settings->manage)
        return settled(object ? object->phase : Phase::none);
    for (const ValueError &error : situation.row->errors) {
        if (exists(object) && is_released(situation, error.path))
            continue; // goes first, and is no claim then
        return act(Action::refuse, Phase::invalid, error.message, error.hint);
    }
    if (exists(object) && kubernetes::is_terminating(object->live))
        return act(Action::wait, Phase::waiting_deleted,
                   "the object is being deleted; its finalizers have not finished");
    if (exists(object))
        return decide_update(situation);
    if (!is_gone(object))
        return decide_create(situation, object);

    // The row had an object and that is gone.
    if (situation.tombstone || situation.replaced)
        return decide_create(situation, nullptr);
    if (is_made_anew(*situation.settings, *object) || object->replacement != Replacement::none)
        return decide_create(situation, object);
    return settled(Phase::absent, "the object was deleted at the server by somebody else",
                   "Delete the row, or delete and insert it again to create the object anew.");
}

} // namespace

const char *to_text(Phase phase) {
    for (const auto &[value, name] : phase_names)
        if (value == phase)
            return name;
    return "";
}

std::optional<Phase> parse_phase(std::string_view text) {
    for (const auto &[value, name] : phase_names)
        if (text == name)
            return value;
    return std::nullopt;
}

bool is_waiting(Phase phase) {
    switch (phase) {
    case Phase::pending:
    case Phase::applying:
    case Phase::uncertain:
    case Phase::deleting:
    case Phase::waiting_deleted:
    case Phase::fighting:
        return true;
    default:
        return false;
    }
}

bool needs_user(Phase phase) {
    switch (phase) {
    case Phase::conflict:
    case Phase::invalid:
    case Phase::denied:
    case Phase::stale:
    case Phase::held:
    case Phase::drifted:
    case Phase::absent:
    case Phase::report_failed:
        return true;
    default:
        return false;
    }
}

std::optional<OnExternalDelete> parse_on_external_delete(std::string_view text) {
    if (text == "drop_row")
        return OnExternalDelete::drop_row;
    if (text == "flag")
        return OnExternalDelete::flag;
    if (text == "recreate")
        return OnExternalDelete::recreate;
    return std::nullopt;
}

Decision decide(const Situation &situation) {
    return situation.row ? decide_with_row(situation) : decide_without_row(situation);
}

std::vector<std::string> parts_of(const Mapping &mapping, const Decision &decision) {
    std::vector<std::string> parts;
    for (const char *subresource : {"", "status", "scale"}) {
        const bool is_made = *subresource == '\0' && decision.action == Action::create;
        if (is_made || std::ranges::any_of(decision.changed, [&](const std::string &path) {
                return mapping.by_path(path)->subresource == subresource;
            }))
            parts.emplace_back(subresource);
    }
    return parts;
}

Part take_first_part(const Mapping &mapping, Decision &decision, const ObjectRecord *object,
                     const std::set<std::string> &refused) {
    Part part;
    for (const auto &[path, value] : decision.fields)
        part.claimed.insert(path);
    if (std::ranges::all_of(mapping.columns, [](const Column &column) { return column.subresource.empty(); })) {
        part.fields = std::move(decision.fields);
        return part;
    }
    const auto subresource_of = [&](const std::string &path) { return mapping.by_path(path)->subresource; };
    std::set<std::string> changed; // subresources
    for (const std::string &path : decision.changed)
        if (!refused.contains(subresource_of(path)))
            changed.insert(subresource_of(path));
    part.is_empty = !refused.empty() && changed.empty();
    // The answer to a scale does not show the object, so that nothing must have to wait for what comes after it.
    const bool is_update = decision.action == Action::update;
    if (is_update)
        for (const char *subresource : {"scale", "status", ""})
            if (changed.contains(subresource))
                part.subresource = subresource;
    for (auto &[path, value] : decision.fields) {
        const Json *applied = is_update ? find_field(object->applied, path) : nullptr;
        if (subresource_of(path) == part.subresource)
            part.fields.emplace(path, std::move(value));
        else if (applied)
            part.kept.emplace(path, *applied);
    }
    decision.fields.clear();
    changed.erase(part.subresource);
    part.others_follow = !changed.empty();
    return part;
}

std::set<std::string> claims(const Mapping &mapping, const RowFields &row, const ObjectRecord *object) {
    std::set<std::string> paths;
    for (const auto &[path, value] : row.values) {
        const Column *column = mapping.by_path(path);
        if (!object || object->claimed.contains(path) || !same_value(*column, &value, find_field(object->base, path)))
            paths.insert(path);
    }
    return paths;
}

bool is_made_anew(const MirrorSettings &settings, const ObjectRecord &object) {
    return settings.on_external_delete == OnExternalDelete::recreate && object.created_by_us && !object.controlled;
}

const char *replacement_obstacle(const MirrorSettings &settings, const ObjectRecord &object) {
    if (!object.created_by_us)
        return "the object was not created by DBNet";
    if (object.controlled)
        return "a controller looks after the object";
    if (always_held_delete(settings.group, settings.kind))
        return "deleting an object of this kind takes other objects or data with it";
    return nullptr;
}

bool is_controlled(const Json &live) {
    if (!live.is_object() || !live.contains("metadata") || !live["metadata"].is_object())
        return false;
    const auto references = live["metadata"].find("ownerReferences");
    if (references == live["metadata"].end() || !references->is_array())
        return false;
    return std::any_of(references->begin(), references->end(), [](const Json &reference) {
        return reference.is_object() && reference.contains("controller") && reference["controller"] == true;
    });
}

bool may_force(const ConflictQuestion &question, const std::vector<std::string> &respected_managers) {
    if (question.forced_already)
        return false;
    if (question.enforce || (question.adopts && question.paths.empty()))
        return true;
    for (const std::string &manager : question.managers)
        if (std::find(respected_managers.begin(), respected_managers.end(), manager) != respected_managers.end())
            return false;
    // A conflict whose fields or owners the server did not name is nothing to be bold about.
    if (question.paths.empty() || question.managers.empty())
        return false;
    return std::none_of(question.paths.begin(), question.paths.end(), [&](const std::string &path) {
        return question.first_written && question.first_written->contains(path);
    });
}

const Column *column_of_field(const Mapping &mapping, const kubernetes::FieldPath &field) {
    const Column *best = nullptr;
    for (const Column &column : mapping.columns) {
        if (field.empty() || (!column.field.contains(field) && !field.contains(column.field)))
            continue;
        if (!best || column.field.segments().size() > best->field.segments().size())
            best = &column;
    }
    return best;
}

} // namespace dbnet::mirror
