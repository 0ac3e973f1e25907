// What is counted of spans and log records per second (otel.span_pane, otel.log_pane): collected over a batch, then
// added to the rows of this process. Pure C++ but for write_panes().
#pragma once

#include "telemetry/batch.hpp"
#include "telemetry/event_time.hpp"
#include "telemetry/exponential_histogram.hpp"

#include <string>
#include <unordered_map>
#include <vector>

namespace dbnet::telemetry {

struct PaneKey {
    Instant second;
    uint32_t rule;     // 0: everything
    uint32_t resource; // index in the batch
    uint32_t grouping; // index in Panes::groupings
    int16_t kind;      // of span, or severity of log record

    bool operator==(const PaneKey &) const = default;
};

struct Pane {
    PaneKey key;
    int64_t count = 0, error_count = 0;
    double duration_sum = 0; // nanoseconds, as all durations
    int64_t duration_min = INT64_MAX, duration_max = INT64_MIN;
    ExponentialHistogram durations;
};

class Panes {
public:
    static constexpr uint32_t no_grouping = 0;

    // The pane of a key; valid until the next call.
    Pane &at(const PaneKey &key) {
        if (last_ < all_.size() && all_[last_].key == key)
            return all_[last_];
        const auto [found, is_new] = places_.try_emplace(key, static_cast<uint32_t>(all_.size()));
        if (is_new)
            all_.push_back({.key = key, .durations = {}});
        last_ = found->second;
        return all_[last_];
    }

    // Index of a grouping, given as the bytes of its jsonb.
    uint32_t grouping(std::string_view jsonb);

    std::vector<Pane> &all() noexcept { return all_; }
    // nullptr: {}
    Jsonb grouping(uint32_t index) const noexcept {
        return index == no_grouping ? nullptr : groupings_[index - 1].get();
    }

private:
    struct HashOfKey {
        size_t operator()(const PaneKey &key) const noexcept {
            uint64_t hash = static_cast<uint64_t>(key.second / second_us) * 0x9E3779B97F4A7C15;
            hash ^= (uint64_t{key.resource} << 32 | key.rule << 8 | static_cast<uint8_t>(key.kind)) + key.grouping;
            return hash * 0x9E3779B97F4A7C15 >> 16;
        }
    };

    std::vector<Pane> all_;
    std::unordered_map<PaneKey, uint32_t, HashOfKey> places_;
    std::vector<std::unique_ptr<char[]>> groupings_;
    std::unordered_map<std::string, uint32_t> grouping_places_;
    uint32_t last_ = 0;
};

void count(Pane &pane, const Span &span);

// Panes of rule 0. `seconds_of` holds the bucket of each record.
void count_spans(const Batch &batch, const std::vector<Instant> &buckets, Panes &panes);
void count_logs(const Batch &batch, const std::vector<Instant> &buckets, Panes &panes);

} // namespace dbnet::telemetry
