// Brings what was committed into the panes of a policy: from otel.span_pane, log_pane and number_points, and from what
// is on record of a mirror's rows. Reads the seconds in which something has changed since the last time, no others.
// Policy worker and dbnet.backtest(); inside a transaction.
#pragma once

#include "policy/definition.hpp"

#include <string>
#include <unordered_map>

namespace dbnet::policy {

class Collector {
public:
    // Takes in what was committed of the seconds from `first` to `last`, and lets go of earlier ones. True: something
    // may have changed.
    bool collect(const Definition &policy, Span seconds, Panes &panes);

    // Some traces of a group in these seconds, as an array literal: with errors first, then the slowest. Of spans and
    // logs alone.
    std::string sample_traces(const Definition &policy, const std::string &group, Span seconds);

private:
    bool collect_panes(const Definition &policy, Span seconds, Panes &panes);
    bool collect_points(const Definition &policy, Span seconds, Panes &panes);
    bool collect_transitions(const Definition &policy, Span seconds, Panes &panes);
    // The group to which something belongs, empty: it does not match.
    const std::string &group_of(const Definition &policy, int64 subject, int64 number, std::string_view grouping);

    std::string seen_;       // the oldest transaction that was running at the last look; empty: never looked
    int64 newest_event_ = 0; // of transitions, when they were read last
    Second read_until_ = 0;
    std::unordered_map<std::string, std::string> group_of_;              // what was asked of group_of
    std::unordered_map<std::string, std::vector<std::string>> subjects_; // resources of each group
};

} // namespace dbnet::policy
