// dbnet.backtest(): a policy's decisions on stored panes, a second at a time. Runs in backends.
#include "mirror/functions/as_extension.hpp"
#include "policy/collector.hpp"

#include "pg/spi.hpp"

#include <algorithm>

extern "C" {
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"
}

namespace dbnet::policy {
namespace {

constexpr Time longest = 7 * 86400 * second;

const pg::Statement check_owner{"SELECT dbnet.policy_of($1, $2)"};

struct Row {
    Time at;
    std::string group;
    Decision decision;
    State state;
    Observation observation;
};

// Policies that are disabled, too.
Definition find(const std::string &name, Oid caller) {
    pg::execute(check_owner, caller, name);
    std::vector<Definition> found = load_definitions(name);
    return std::move(found.front());
}

// Reads a stretch at a time, each with the window before it: memory is needed for that much alone.
std::vector<Row> replay(const Definition &policy, Time from, Time to) {
    constexpr Time least_stretch = 600 * second;
    const Time stretch = std::max(least_stretch, policy.window);
    std::map<std::string, Group> groups;
    if (!policy.is_grouped)
        groups["{}"];
    Budget budget;
    std::vector<Row> rows;
    Panes panes;
    Time read_until = from;
    static const Series nothing;
    for (Time now = from; now <= to; now += second) {
        pg::check_for_interrupts();
        if (now >= read_until) {
            read_until = std::min(now + stretch, to + second);
            panes.clear();
            const Span read{window_at(now, policy.window).first, window_at(read_until, 0).last};
            Collector().collect(policy, read, panes);
            for (const auto &[name, series] : panes.groups())
                if (series.has_begun(read.last))
                    groups[name];
        }
        const Span seconds = window_at(now, policy.window);
        for (auto &[name, group] : groups) {
            const auto found = panes.groups().find(name);
            Observation observation = (found == panes.groups().end() ? nothing : found->second)
                                          .observe(policy.measure, seconds.first, seconds.last);
            observation.now = now;
            // A group is not known before there is something of it.
            if (policy.is_grouped && group.since == 0) {
                if (observation.count == 0)
                    continue;
                group.since = now;
            }
            const Decision decision = evaluate(policy.rules, group, budget, observation);
            if (decision.verdict == Verdict::act)
                acted(group, budget, now);
            if (decision.verdict != Verdict::nothing || decision.is_told)
                rows.push_back({now, name, decision, group.state, observation});
        }
    }
    return rows;
}

const char *word_of(const Decision &decision) noexcept {
    return decision.verdict == Verdict::act ? "act" : decision.verdict == Verdict::resolve ? "resolved" : "not acting";
}

} // namespace

DBNET_FUNCTION(dbnet_backtest) {
    const std::string name(
        std::string_view(pg::call([&] { return static_cast<const char *>(text_to_cstring(PG_GETARG_TEXT_PP(0))); })));
    const Time from = PG_GETARG_TIMESTAMPTZ(1), to = PG_GETARG_TIMESTAMPTZ(2);
    if (TIMESTAMP_NOT_FINITE(from) || TIMESTAMP_NOT_FINITE(to) || to < from || to - from > longest)
        throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                        "the times of a backtest are not up to 7 days, one after the other");
    pg::call([&] { InitMaterializedSRF(fcinfo, 0); });
    const Oid caller = GetUserId();
    std::vector<Row> rows;
    pg::in_spi([&] {
        mirror::as_extension([&] {
            const Definition policy = find(name, caller);
            if (!policy.has_panes())
                throw pg::error(ERRCODE_INVALID_PARAMETER_VALUE,
                                "policy \"" + name + "\" measures nothing that is stored")
                    .hint(
                        "Policies on spans, metrics, logs and transitions can be tested on the past; a query, timer or "
                        "schedule can be tried in mode shadow.");
            rows = replay(policy, from, to);
        });
    });
    const auto *result = reinterpret_cast<ReturnSetInfo *>(fcinfo->resultinfo);
    pg::call([&] {
        for (const Row &row : rows) {
            const char *reason = text_of(row.decision.reason);
            Datum values[7] = {TimestampTzGetDatum(row.at),
                               DirectFunctionCall1(jsonb_in, CStringGetDatum(row.group.c_str())),
                               CStringGetTextDatum(word_of(row.decision)),
                               CStringGetTextDatum(reason),
                               CStringGetTextDatum(text_of(row.state)),
                               Float8GetDatum(row.observation.value.value_or(0)),
                               Int64GetDatum(row.observation.count)};
            bool nulls[7] = {false, false, false, *reason == '\0', false, !row.observation.value, false};
            tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
        }
    });
    return Datum{0};
}

} // namespace dbnet::policy
