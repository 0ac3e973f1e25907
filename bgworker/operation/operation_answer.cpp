// Answers to requests of operations (see operation_answer.hpp). Pure C++; mirror worker.
#include "bgworker/operation/operation_answer.hpp"

#include "bgworker/actuation/actuator_answer.hpp"

#include <algorithm>

#include "pg/no_postgres.hpp"

namespace dbnet::bgworker {

namespace {

using kubernetes::Outcome;
using Next = OperationVerdict::Next;

// kubectl's pace for what somebody's doing brings to an end and no event tells of: a budget, a namespace that goes.
constexpr int64_t slowest_ms = 5000;

// A 500 without a reason may be a passing fault: this many tries tell.
constexpr int unexplained_attempts = 5;

Next next_of(const Outcome &outcome, int attempt) {
    // Which budget counts is nothing that the server will find out by itself.
    if (outcome.message.find("more than one PodDisruptionBudget") != std::string::npos)
        return Next::stop;
    switch (outcome.kind) {
    case Outcome::ok:
        return Next::accepted;
    case Outcome::not_found:
    case Outcome::namespace_missing:
    case Outcome::uid_mismatch:
        return Next::gone;
    case Outcome::schema_500:
        return attempt < unexplained_attempts ? Next::again : Next::stop;
    case Outcome::kind_missing:
        return Next::stop;
    default:
        return kubernetes::is_permanent(outcome.kind) ? Next::stop : Next::again;
    }
}

} // namespace

OperationVerdict judge_operation(const Outcome &outcome, int attempt, double random) {
    OperationVerdict verdict;
    verdict.next = next_of(outcome, attempt);
    verdict.message = outcome.message;
    verdict.reason = outcome.reason;
    if (outcome.kind == Outcome::disruption_budget)
        for (const kubernetes::Cause &cause : outcome.causes)
            if (cause.reason == "DisruptionBudget" && !cause.message.empty())
                verdict.message += " " + cause.message;
    if (verdict.next != Next::again)
        return verdict;
    const bool is_policy = outcome.kind == Outcome::disruption_budget || outcome.kind == Outcome::namespace_terminating;
    verdict.delay_ms = backoff_ms(attempt, random);
    if (is_policy)
        verdict.delay_ms = std::min(verdict.delay_ms, slowest_ms);
    verdict.delay_ms = std::max<int64_t>(verdict.delay_ms, outcome.retry_after_ms);
    return verdict;
}

} // namespace dbnet::bgworker
