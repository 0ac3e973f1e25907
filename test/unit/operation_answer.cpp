// What answers to evictions and their kin mean.
#include "bgworker/operation/operation_answer.hpp"

#include <gtest/gtest.h>

using namespace dbnet::bgworker;
using dbnet::kubernetes::Outcome;
using OperationNext = OperationVerdict::Next;

namespace {

OperationVerdict judged(Outcome::Kind kind, int attempt = 1) {
    Outcome outcome;
    outcome.kind = kind;
    outcome.message = "the server's words";
    return judge_operation(outcome, attempt, 0.5);
}

} // namespace

TEST(OperationAnswer, Kinds) {
    const std::pair<Outcome::Kind, OperationNext> cases[] = {
        {Outcome::ok, OperationNext::accepted},
        {Outcome::not_found, OperationNext::gone},
        {Outcome::namespace_missing, OperationNext::gone},
        {Outcome::uid_mismatch, OperationNext::gone},
        {Outcome::disruption_budget, OperationNext::again},
        {Outcome::namespace_terminating, OperationNext::again},
        {Outcome::stale, OperationNext::again},
        {Outcome::retry, OperationNext::again},
        {Outcome::unavailable, OperationNext::again},
        {Outcome::unauthorized, OperationNext::again},
        {Outcome::ambiguous, OperationNext::again},
        {Outcome::schema_500, OperationNext::again},
        {Outcome::denied, OperationNext::stop},
        {Outcome::invalid, OperationNext::stop},
        {Outcome::kind_missing, OperationNext::stop},
    };
    for (const auto &[kind, next] : cases)
        EXPECT_EQ(judged(kind).next, next) << name(kind);
    EXPECT_EQ(judged(Outcome::schema_500, 5).next, OperationNext::stop) << "no passing fault";
}

TEST(OperationAnswer, ABudgetIsAskedAgainAtKubectlsPace) {
    EXPECT_EQ(judged(Outcome::disruption_budget, 1).delay_ms, 200);
    EXPECT_EQ(judged(Outcome::disruption_budget, 20).delay_ms, 5000);
    EXPECT_EQ(judged(Outcome::unavailable, 20).delay_ms, 60'000);
    Outcome outcome;
    outcome.kind = Outcome::disruption_budget;
    outcome.retry_after_ms = 10'000;
    EXPECT_EQ(judge_operation(outcome, 1, 0.5).delay_ms, 10'000) << "unless the server says when";
}

TEST(OperationAnswer, ABudgetIsNamed) {
    Outcome outcome;
    outcome.kind = Outcome::disruption_budget;
    outcome.message = "Cannot evict pod as it would violate the pod's disruption budget.";
    outcome.causes.push_back(
        {"DisruptionBudget", "", "", "The disruption budget web needs 2 healthy pods and has 2 currently"});
    EXPECT_EQ(
        judge_operation(outcome, 1, 0.5).message,
        "Cannot evict pod as it would violate the pod's disruption budget. The disruption budget web needs 2 healthy "
        "pods and has 2 currently");
}

TEST(OperationAnswer, TwoBudgetsForOnePodAreSomebodysToMend) {
    Outcome outcome;
    outcome.kind = Outcome::retry;
    outcome.message =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    EXPECT_EQ(judge_operation(outcome, 1, 0.5).next, OperationNext::stop);
}
