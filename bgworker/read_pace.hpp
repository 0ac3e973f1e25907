// How many rows of a mirror are read together: a quarter after those that took longer than
// dbnet.report_statement_timeout or more memory than there is for them, or of which one could not be read at all; twice
// as many again once reading is far from both limits. What is not known to be quick and small begins small. Pure C++
// without clock; mirror worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace dbnet::bgworker {

class ReadPace {
public:
    explicit ReadPace(size_t most) : ReadPace(most, most) {}
    ReadPace(size_t most, size_t first) : most_(most), together_(std::min(first, most)) {}

    size_t together() const { return together_; }
    void on_failure(size_t tried) { together_ = std::max<size_t>(tried / 4, 1); }
    // `bytes`: of the rows as text.
    void on_success(size_t read, size_t bytes, int64_t took_ms, int64_t limit_ms) {
        if (took_ms > limit_ms || bytes > most_bytes)
            on_failure(read);
        else if (read >= together_ && took_ms < limit_ms / 4 && bytes < most_bytes / 4)
            together_ = std::min(2 * together_, most_);
    }

    // Parsed, and beside what is on record of their objects, they take several times that.
    static constexpr size_t most_bytes = 8 << 20;

private:
    size_t most_;
    size_t together_;
};

} // namespace dbnet::bgworker
