// From OTLP requests to committed rows: what has come is decoded, written and committed in one transaction, then
// answered. An answer of 200 means that it is on disk. Gateway worker.
#pragma once

#include "gateway/otlp/otlp_application.hpp"
#include "gateway/token/known_tokens.hpp"
#include "telemetry/batch.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace dbnet::bgworker {

class GatewayIngest {
public:
    GatewayIngest(gateway::OtlpApplication &application, pg::WorkerSlot &slot) noexcept
        : application_(application), known_tokens_(slot) {}

    // Answers each of `calls`, except when in_transaction() makes the worker leave: the server's end answers then.
    void serve(std::span<const gateway::OtlpCall> calls);

    // Whether who shows this in Authorization may go on: looked up outside serve(), before the body comes. A token that
    // was good is not looked up again here, but always in the transaction that takes what came with it.
    gateway::Admission admit(std::string_view authorization, bool is_telemetry);
    // A transaction of admit() was told to leave: the worker is to do so now.
    bool must_leave() const noexcept { return must_leave_; }

    // Why nothing can be written at the moment; empty: the last transaction was committed, or it was a request's fault.
    const std::string &problem() const noexcept { return problem_; }

private:
    struct Verdict {
        int status = 200;
        std::string message; // of another status
        telemetry::Decoded decoded;
    };
    struct Sender {
        gateway::Token token;
        std::string client; // that showed it first
    };
    enum class Concerns {
        request, // what was sent
        perhaps, // a lock, a trigger: what was sent, or every request
        all,     // every request would fail
    };
    struct Failure {
        int status;
        std::string message, hint;
        Concerns concerns;
    };

    size_t serve_together(std::span<const gateway::OtlpCall> calls);
    std::optional<Failure> transaction(std::span<const gateway::OtlpCall> calls);
    std::optional<Failure> run_transaction(std::span<const gateway::OtlpCall> calls);
    void fill(std::span<const gateway::OtlpCall> calls);
    Verdict take(const gateway::OtlpCall &call);
    void answer(const gateway::OtlpCall &call, const Verdict &verdict);
    void report(const Failure &failure);

    gateway::OtlpApplication &application_;
    gateway::KnownTokens known_tokens_;
    telemetry::Batch batch_;
    std::vector<Verdict> verdicts_;                      // of the running transaction, in the order of its calls
    std::deque<std::string> unpacked_;                   // bodies in the batch that were compressed
    size_t bytes_ = 0;                                   // of all bodies in the batch, unpacked
    std::map<std::string, Sender, std::less<>> senders_; // of the transaction, by what they sent as token
    std::set<std::string, std::less<>> admitted_;        // texts of Authorization
    std::chrono::steady_clock::duration lost_{};         // in this turn, on requests that failed by themselves
    bool must_leave_ = false;
    std::string problem_, reported_;
    std::chrono::steady_clock::time_point reported_at_;
};

} // namespace dbnet::bgworker
