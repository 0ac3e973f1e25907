// Answers of the server to verdicts about objects. Pure C++; mirror worker.
#include "bgworker/actuation/actuator_answer.hpp"

#include <algorithm>

#include "mirror/decision/committers.hpp"
#include "mirror/decision/stamp.hpp"

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

using kubernetes::Outcome;
using mirror::Phase;
using Next = Verdict::Next;

// A schema error comes as a 500 without a reason, and so do passing faults: this many tries tell them apart.
constexpr int schema_attempts = 5;

// A namespace or kind that is not there: somebody is about to make it, or nobody is; no event tells.
constexpr int64_t surroundings_ms = 15'000;

Verdict verdict(const Outcome &outcome, Next next, Phase phase) {
    Verdict result;
    result.next = next;
    result.phase = phase;
    result.message = outcome.message;
    result.reason = outcome.reason;
    return result;
}

Verdict again(const Outcome &outcome, const Attempt &attempt, double random, Phase phase) {
    Verdict result = verdict(outcome, Next::again, phase);
    result.delay_ms = std::max<int64_t>(backoff_ms(attempt.number, random), outcome.retry_after_ms);
    return result;
}

Verdict again_soon(const Outcome &outcome, const Attempt &attempt, double random, Phase phase) {
    Verdict result = again(outcome, attempt, random, phase);
    result.delay_ms = std::max<int64_t>(std::min(result.delay_ms, surroundings_ms), outcome.retry_after_ms);
    return result;
}

Verdict server_wide(Verdict result) {
    result.server_wide = true;
    return result;
}

// Fields that were sent as the recorded schema has them, and that the server's schema has not. An object whose own
// fields do not fit the schema any more is refused in other words: that tells nothing of what was sent.
std::set<std::string> outdated_paths(const Outcome &outcome, const Attempt &attempt, const mirror::Mapping &mapping) {
    std::set<std::string> outdated;
    if (outcome.message.find("typed patch object") == std::string::npos)
        return outdated;
    for (const kubernetes::Cause &cause : outcome.causes) {
        const auto field = kubernetes::FieldPath::from_server(cause.field);
        const bool is_gone = cause.message.find("field not declared in schema") != std::string::npos;
        const bool is_retyped = cause.message.starts_with("expected ");
        for (const std::string &path : attempt.paths) {
            const mirror::Column *column = mapping.by_path(path);
            // What lies below a column is the row's own word, unless its rules have let it pass.
            if (column && !field.empty() &&
                ((is_gone && field.contains(column->field)) ||
                 (is_retyped && column->rules && column->field.contains(field))))
                outdated.insert(path);
        }
    }
    return outdated;
}

Verdict judge_schema(const Outcome &outcome, const Attempt &attempt, const mirror::Mapping &mapping) {
    Verdict result = verdict(outcome, Next::stop, Phase::invalid);
    result.outdated = outdated_paths(outcome, attempt, mapping);
    if (!result.outdated.empty()) {
        result.phase = Phase::pending;
        result.reason = "SchemaChanged";
    }
    return result;
}

// Not the right to change the object, but that to act as who has asked for it.
Verdict judge_denied(const Outcome &outcome) {
    Verdict result = verdict(outcome, Next::stop, Phase::denied);
    if (const std::string rule = mirror::rule_to_impersonate(outcome.message); !rule.empty()) {
        result.reason = mirror::impersonation_refused;
        result.hint = "The credentials need the RBAC rule " + rule + ", which dbnet.rbac() prints.";
    }
    return result;
}

Verdict judge_conflict(const Outcome &outcome, const Attempt &attempt, const mirror::Mapping &mapping,
                       const std::vector<std::string> &respected_managers) {
    static const std::string stamp_field = [] {
        std::string path = ".metadata.annotations."; // in steps: GCC 12 warns of a sum here
        path += mirror::stamp_annotation;
        return kubernetes::FieldPath::from_server(path).text();
    }();
    mirror::ConflictQuestion question;
    question.enforce = attempt.enforce;
    std::set<std::string> adopted;
    for (const kubernetes::Cause &cause : outcome.causes) {
        if (!attempt.restoring_manager.empty() && cause.manager == attempt.restoring_manager) {
            adopted.insert(cause.field);
            continue;
        }
        const mirror::Column *column =
            mirror::column_of_field(mapping, kubernetes::FieldPath::from_server(cause.field));
        // Another mirror of DBNet wrote the object: one of another database, or one that was removed. The stamp goes
        // with the first write of what is sent; two that are alive must not take it from each other for ever.
        if (cause.field == stamp_field) {
            question.enforce = false;
            for (const std::string &path : attempt.paths)
                (attempt.adopted.contains(path) ? adopted : question.paths).insert(path);
            question.managers.insert(cause.manager);
            continue;
        }
        // A field that no column of ours holds, something that we cannot name.
        if (!column)
            return verdict(outcome, Next::stop, Phase::conflict);
        if (attempt.adopted.contains(column->path)) {
            adopted.insert(column->path);
            continue;
        }
        question.paths.insert(column->path);
        question.managers.insert(cause.manager);
    }
    question.adopts = !adopted.empty();
    question.first_written = &attempt.first_written;
    question.forced_already = attempt.forced;
    return verdict(outcome, mirror::may_force(question, respected_managers) ? Next::force : Next::stop,
                   Phase::conflict);
}

} // namespace

int64_t backoff_ms(int attempt, double random) {
    const int doublings = std::clamp(attempt - 1, 0, 9);
    return static_cast<int64_t>(std::min(200.0 * (1 << doublings), 60'000.0) * (0.75 + random / 2));
}

std::string told(const Verdict &verdict) {
    return verdict.hint.empty() ? verdict.message : verdict.message + ". " + verdict.hint;
}

Verdict judge(const Outcome &outcome, const Attempt &attempt, const mirror::Mapping &mapping,
              const std::vector<std::string> &respected_managers, double random) {
    const Phase waiting = attempt.remove ? Phase::deleting : Phase::pending;
    switch (outcome.kind) {
    case Outcome::ok:
        return verdict(outcome, Next::accepted, Phase::synced);

    case Outcome::conflict:
        return judge_conflict(outcome, attempt, mapping, respected_managers);

    case Outcome::invalid:
    case Outcome::too_large:
        return verdict(outcome, Next::stop, Phase::invalid);
    case Outcome::schema_500:
        if (attempt.schema_failures + 1 >= schema_attempts)
            return judge_schema(outcome, attempt, mapping);
        return again(outcome, attempt, random, waiting);
    case Outcome::denied:
        return judge_denied(outcome);
    case Outcome::stale:
        if (attempt.release) // somebody else wrote between the look and the patch
            return again(outcome, attempt, random, waiting);
        return verdict(outcome, Next::stop, Phase::stale);

    case Outcome::not_found:
        if (attempt.remove)
            return verdict(outcome, Next::gone, Phase::deleting);
        return again(outcome, attempt, random, waiting);
    case Outcome::uid_mismatch:
        // The incarnation we know is gone. After a delete that is what was wanted; after an apply the watch will tell
        // what is there now, and the next attempt is decided on that.
        if (attempt.remove)
            return verdict(outcome, Next::gone, Phase::deleting);
        return again(outcome, attempt, random, Phase::uncertain);
    case Outcome::being_deleted:
        return verdict(outcome, Next::await, Phase::waiting_deleted);

    case Outcome::ambiguous: // applying or deleting again does no harm
        return again(outcome, attempt, random, Phase::uncertain);
    case Outcome::unavailable:
    case Outcome::unauthorized:
        return server_wide(again(outcome, attempt, random, waiting));
    case Outcome::retry: {
        Verdict result = again(outcome, attempt, random, waiting);
        result.overload = outcome.status == 429;
        result.server_wide = result.overload && outcome.retry_after_ms > 0;
        return result;
    }

    case Outcome::namespace_missing:
        if (attempt.remove)
            return verdict(outcome, Next::gone, Phase::deleting);
        return again_soon(outcome, attempt, random, waiting);
    case Outcome::namespace_terminating:
    case Outcome::kind_missing:
        return again_soon(outcome, attempt, random, waiting);
    case Outcome::already_exists:
    case Outcome::gone:
    case Outcome::disruption_budget:
    case Outcome::future_version:
        return again(outcome, attempt, random, waiting);
    }
    return again(outcome, attempt, random, waiting);
}

} // namespace dbnet::bgworker
