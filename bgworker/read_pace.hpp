// How many rows of a mirror are read together: a quarter after those that could not be read within
// dbnet.report_statement_timeout, or of which one could not be read at all; twice as many again once reading is far
// from the limit. Pure C++ without clock; mirror worker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace dbnet::bgworker {

class ReadPace {
public:
    explicit ReadPace(size_t most) : most_(most), together_(most) {}

    size_t together() const { return together_; }
    void on_failure(size_t tried) { together_ = std::max<size_t>(tried / 4, 1); }
    void on_success(size_t read, int64_t took_ms, int64_t limit_ms) {
        if (read >= together_ && took_ms < limit_ms / 4)
            together_ = std::min(2 * together_, most_);
    }

private:
    size_t most_;
    size_t together_;
};

} // namespace dbnet::bgworker
