// A policy as dbnet.policy has it, for who evaluates it: policy worker, dbnet.backtest().
#pragma once

#include "pg/guard.hpp"
#include "policy/cron.hpp"
#include "policy/panes.hpp"

#include <optional>
#include <string>
#include <vector>

namespace dbnet::policy {

enum class Source : uint8 { spans, metrics, logs, query, timer, cron, transitions };

struct Definition {
    std::string name;
    int64 number = 0;
    int64 version = 0;
    Oid owner = InvalidOid;
    bool acts = false; // mode act, and the database is no copy
    Source source = Source::spans;
    bool has_own_panes = false; // otel.pane_rule has its number
    bool is_grouped = false;
    std::string aggregate_text;
    Measure measure;
    Rules rules;
    Time window = 0;
    std::optional<Time> settle_interval;
    std::string only_if; // empty: none
    bool has_action = false;
    int timeout_ms = 0; // of action, query and only_if
    std::string query;
    Time every = 0;
    std::string schedule, time_zone;
    bool has_reads = false;
    Time created_at = 0;

    bool has_condition() const noexcept { return source != Source::timer && source != Source::cron; }
    bool has_panes() const noexcept {
        return source == Source::spans || source == Source::metrics || source == Source::logs ||
               source == Source::transitions;
    }
    // An empty window says something only when one was listened to for as long as it is.
    bool needs_whole_window() const noexcept;
};

// Policies that are enabled, by name; inside a transaction (in_transaction() or in_spi()). `name` empty: all of them.
std::vector<Definition> load_definitions(const std::string &name = {});

// The next time after `after` that a timer or schedule is due. Timers go from the policy's creation in steps of
// `every`. INT64_MAX: never. Inside a transaction.
Time next_due(const Definition &definition, Time after);

// When a schedule is due next; nullopt: never. Throws pg::error when schedule or time zone are none.
std::optional<Time> next_run(const std::string &schedule, const std::string &time_zone, Time after);

} // namespace dbnet::policy
