// What a batch adds to the panes: counts and sketches per second, kept in memory until the table writer adds them to
// otel.span_pane and otel.log_pane in the transaction of the records themselves. Pure C++.
#pragma once

#include "telemetry/panes/exponential_histogram.hpp"
#include "telemetry/tables/event_time.hpp"

#include <cstdint>
#include <vector>

namespace dbnet::telemetry {

// Nanoseconds; below 0 for a span that ends before it starts, 0 when either time was not sent.
int64_t duration_of(const Span &span) noexcept;

// When a log record happened; if it was not said, when it was seen. 0: neither was said.
inline uint64_t time_of(const LogRecord &record) noexcept {
    return record.time_unix_nano != 0 ? record.time_unix_nano : record.observed_time_unix_nano;
}

// Rule 0 takes every record. Of another rule, `grouping` tells its groups apart: a number that the writer gives them.
struct PaneKey {
    Instant second = 0;    // its start
    uint32_t resource = 0; // index in the batch
    int32_t rule = 0;
    uint32_t grouping = 0;
    int16_t kind = 0; // of a span; of a log record its severity_number

    bool operator==(const PaneKey &) const = default;
};

struct SpanPane {
    PaneKey key;
    uint64_t count = 0, error_count = 0;
    double duration_sum = 0; // nanoseconds
    int64_t duration_min = INT64_MAX, duration_max = INT64_MIN;
    ExponentialHistogram durations;
};

struct LogPane {
    PaneKey key;
    uint64_t count = 0;
};

// Panes by key: open addressing beside the list of them.
template<class Pane> class PaneMap {
public:
    Pane &at(const PaneKey &key) {
        if (last_ < panes_.size() && panes_[last_].key == key)
            return panes_[last_];
        if ((panes_.size() + 1) * 2 > slots_.size())
            grow();
        const size_t slot = slot_of(key);
        if (slots_[slot] == 0) {
            panes_.emplace_back().key = key;
            slots_[slot] = static_cast<uint32_t>(panes_.size());
        }
        last_ = slots_[slot] - 1;
        return panes_[last_];
    }
    std::vector<Pane> &panes() noexcept { return panes_; }
    void clear() noexcept {
        constexpr size_t largest_kept = 4096; // clearing a big table would take longer than a small batch
        panes_.clear();
        slots_.assign(slots_.size() > largest_kept ? 0 : slots_.size(), 0);
    }

private:
    size_t slot_of(const PaneKey &key) const noexcept {
        uint64_t hash = static_cast<uint64_t>(key.second) * 0x9E3779B97F4A7C15;
        hash = (hash ^ hash >> 32 ^ key.resource) * 0xD6E8FEB86659FD93;
        hash = (hash ^ hash >> 32 ^ static_cast<uint32_t>(key.rule)) * 0xD6E8FEB86659FD93;
        hash = (hash ^ hash >> 32 ^ key.grouping ^ static_cast<uint64_t>(static_cast<uint16_t>(key.kind)) << 32) *
               0xD6E8FEB86659FD93;
        size_t at = (hash ^ hash >> 32) & (slots_.size() - 1);
        while (slots_[at] != 0 && panes_[slots_[at] - 1].key != key)
            at = (at + 1) & (slots_.size() - 1);
        return at;
    }
    void grow() {
        slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, 0);
        for (uint32_t at = 0; at < panes_.size(); ++at)
            slots_[slot_of(panes_[at].key)] = at + 1;
    }

    std::vector<Pane> panes_;
    std::vector<uint32_t> slots_; // a power of two, at most half full; index + 1, 0: free
    size_t last_ = 0;             // records of one key come in a row
};

class Panes {
public:
    // Rule 0 of all of the batch's spans and log records, whose times the writer has placed (see Placement).
    void add(const Batch &batch, const std::vector<Instant> &span_times, const std::vector<Instant> &log_times);
    // One record under any key.
    void add_span(const Span &span, const PaneKey &key);
    void add_log(const PaneKey &key) { ++logs_.at(key).count; }

    // May be put in another order; nothing is added afterwards.
    std::vector<SpanPane> &spans() noexcept { return spans_.panes(); }
    std::vector<LogPane> &logs() noexcept { return logs_.panes(); }
    void clear() noexcept {
        spans_.clear();
        logs_.clear();
    }

private:
    PaneMap<SpanPane> spans_;
    PaneMap<LogPane> logs_;
};

} // namespace dbnet::telemetry
