// Brings what was committed into the panes of a policy: from otel.span_pane, log_pane and the points of metrics, and
// from what is on record of a mirror's rows. Reads the seconds of the last minutes in which something has changed since
// the last time, and once a minute what came late to those before. Policy worker and dbnet.backtest(); inside a
// transaction.
#pragma once

#include "policy/definition.hpp"

#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace dbnet::policy {

class Collector {
public:
    // Takes in what was committed of the seconds from `first` to `last`, and lets go of earlier ones. True: something
    // may have changed.
    bool collect(const Definition &policy, Span seconds, Panes &panes);

    // Some traces of a group in these seconds that show why the value is what it is, as an array literal: with errors
    // first, then the slowest; of metrics, what exemplars name. Looks far back only for a decision that acts.
    std::string sample_traces(const Definition &policy, const std::string &group, Span seconds,
                              std::optional<double> value, bool is_acting);

private:
    bool collect_recent(const Definition &policy, Span seconds, Panes &panes);
    bool collect_late(const Definition &policy, Span seconds, Panes &panes);
    // `since`: only seconds in which something was written by what was running then, or later; empty: all.
    bool collect_panes(const Definition &policy, Span seconds, const std::string &since, Panes &panes);
    static bool are_new(const Definition &policy, Span seconds, const std::string &since);
    // Of metrics, from seconds.first on; what was known of these is forgotten.
    void collect_points(const Definition &policy, Span seconds, Panes &panes);
    void collect_numbers(const Definition &policy, Span seconds, Panes &panes);
    void collect_counted(const Definition &policy, Span seconds, bool is_exponential, Panes &panes);
    bool collect_transitions(const Definition &policy, Span seconds, Panes &panes);
    // The group to which something belongs, empty: it does not match.
    const std::string &group_of(const Definition &policy, int64 subject, int64 number, std::string_view grouping);

    std::string seen_;      // the oldest transaction that was running at the last look; empty: never looked
    std::string late_seen_; // the same, at the last look for what came late
    Second looked_for_late_at_ = 0;
    Second settled_until_ = 0; // up to here, that look is the one that finds what is new
    std::optional<Second> read_transitions_until_;
    uint64 recorded_commits_ = 0;                                     // when transitions were read last
    std::unordered_map<std::string, std::string> group_of_;           // what was asked of group_of
    std::unordered_map<std::string, std::set<std::string>> subjects_; // resources of each group
};

} // namespace dbnet::policy
